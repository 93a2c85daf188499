"""Whole tables from the command line: scored here or in the store, and put into it."""

import io
import json

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from perennial.errors import PerennialError, SourceError, SpecError, StoreError
from tests.scoring.rows import expected, rows
from tests.serving.serving_models import (
    BINARY,
    MULTICLASS,
    put_state,
    put_version,
    sigmoid_model,
    softmax_model,
    sum_model,
)


@pytest.fixture
def model(store, here):
    """A pipeline whose champion answers with a sum."""
    put_version(store, "p", "0001-aaaa", sum_model())
    put_version(store, "p", "0002-bbbb", sum_model(100.0))
    put_state(store, "p", "0001-aaaa")


def written(file, table):
    if file.name.endswith(".parquet"):
        pq.write_table(table, file, row_group_size=1000)
    else:
        table.to_pandas().to_csv(file, index=False)
    return file


def read(file):
    return pd.read_parquet(file) if file.name.endswith(".parquet") else pd.read_csv(file)


@pytest.mark.usefixtures("model")
@pytest.mark.parametrize("name", ["in.csv", "in.csv.gz", "in.parquet"])
def test_each_row_of_a_file_is_answered_in_its_order(here, run, name):
    table = rows(5000)
    written(here / name, table)
    told = run("score", "p", name, "--keep", "id")
    suffix = name.removeprefix("in")
    assert told.output == f"in-scores{suffix} is written: 5,000 rows by version 0001-aaaa.\n"
    found = read(here / f"in-scores{suffix}")
    assert list(found.columns) == ["row", "prediction", "id"]
    assert found["id"].tolist() == table.column("id").to_pylist()
    np.testing.assert_allclose(found["prediction"], expected(table), rtol=1e-5, atol=1e-5)


@pytest.mark.usefixtures("model")
def test_a_folder_another_version_and_json(here, run):
    (here / "in").mkdir()
    written(here / "in" / "a.parquet", rows(10, seed=1))
    written(here / "in" / "b.csv", rows(5, seed=2))
    asked = ["--version", "0002", "--output", "out.csv", "--json"]
    told = json.loads(run("score", "p", "in", *asked).output)
    assert told == {"pipeline": "p", "version": "0002-bbbb", "rows": 15, "output": "out.csv"}
    found = read(here / "out.csv")
    assert found["row"].tolist() == list(range(15))
    assert found["prediction"].min() > 50


@pytest.mark.usefixtures("model")
def test_what_lies_in_the_store_is_scored_into_the_store(here, store, run):
    written(here / "in.csv", rows(20))
    place = f"s3://{store.bucket}/tables"
    assert "bytes" in run("put", "in.csv", "tables/").output
    run("score", "p", f"{place}/in.csv", "--output", f"{place}/scores.parquet")
    found = pd.read_parquet(io.BytesIO(store.get("tables/scores.parquet").data))
    np.testing.assert_allclose(found["prediction"], expected(rows(20)), rtol=1e-5, atol=1e-5)


def test_classes_have_a_probability_each_in_a_csv(here, store, run):
    put_version(store, "two", "0001", sigmoid_model(), BINARY)
    put_version(store, "many", "0001", softmax_model(), MULTICLASS)
    pd.DataFrame({"x": [-9.0, 9.0]}).to_csv(here / "in.csv", index=False)
    two = run("score", "two", "in.csv", "--version", "0001", "--output", "-").stdout
    lines = two.splitlines()
    assert lines[0] == "row,prediction,probability"
    assert [line.split(",")[1] for line in lines[1:]] == ["no", "yes"]
    many = run("score", "many", "in.csv", "--version", "0001", "--output", "-").stdout
    assert many.splitlines()[0] == "row,prediction,probability_a,probability_b,probability_c"
    shares = [float(cell) for cell in many.splitlines()[1].split(",")[2:]]
    assert sum(shares) == pytest.approx(1, abs=1e-5)


@pytest.mark.usefixtures("model")
@pytest.mark.parametrize(
    ("asked", "error", "message"),
    [
        (["nowhere.csv"], SourceError, "nowhere.csv is not there"),
        (["notes.txt"], SourceError, "notes.txt is neither csv, csv.gz nor parquet"),
        (["broken.parquet"], SourceError, "broken.parquet is no Parquet file"),
        (["few.csv"], SourceError, "few.csv lacks the columns city, z; it has x"),
        (["in.csv", "--keep", "no"], SourceError, "in.csv lacks the column no"),
        (["in.csv", "--output", "in.csv"], SpecError, "that is the input"),
        (["in.csv", "--output", "a.txt"], SpecError, "write a name that ends in .csv"),
        (["in.csv", "--output", "no/a.csv"], SpecError, "there is no folder no"),
        (["in.csv", "--version", "9"], SpecError, "there is no version '9'"),
    ],
)
def test_what_cannot_be_scored_is_said_in_one_line(here, run, asked, error, message):
    written(here / "in.csv", rows(10))
    (here / "notes.txt").write_text("x")
    (here / "broken.parquet").write_text("x")
    (here / "few.csv").write_text("x\n1\n")
    with pytest.raises(error, match=message) as caught:
        run("score", "p", *asked)
    assert "\n" not in str(caught.value)
    assert not (here / "in-scores.csv").exists()


def test_a_file_goes_into_any_bucket_and_over_what_was_there(here, store, run):
    (here / "a.csv").write_text("x\n1\n")
    place = f"s3://{store.bucket}/in/b.csv"
    assert run("put", "a.csv", place).output == f"{place} is written: 4 bytes.\n"
    (here / "a.csv").write_text("x\n12\n")
    told = json.loads(run("put", "a.csv", "in/b.csv", "--json").output)
    assert told == {"address": place, "bytes": 5}
    assert store.get("in/b.csv").data == b"x\n12\n"


def test_a_file_larger_than_one_request_goes_in_parts(here, store, run):
    data = b"x\n" + b"1234567\n" * 3_000_000
    (here / "a.csv").write_bytes(data)
    run("put", "a.csv", "in/")
    assert store.get("in/a.csv").data == data


@pytest.mark.usefixtures("bike")
@pytest.mark.parametrize(
    ("file", "to", "error", "message"),
    [
        ("no.csv", "in/", SourceError, "no.csv is no file"),
        ("a.txt", "in/", SourceError, "a.txt is neither csv"),
        ("a.parquet", "in/", SourceError, "a.parquet is no Parquet file"),
        ("a.csv", "in/b.parquet", SpecError, "write a key that ends as a.csv does"),
        ("a.csv", "ftp://x/a.csv", SpecError, "write s3://bucket/key"),
        ("a.csv", "s3://no-such-bucket/a.csv", StoreError, "no-such-bucket"),
        ("a.csv", "bike/a.csv", SpecError, "in the folder of the pipeline bike: choose another"),
    ],
)
def test_what_may_not_be_put_is_said_in_one_line(learned, here, run, file, to, error, message):
    (here / "a.csv").write_text("x\n1\n")
    (here / "a.txt").write_text("x")
    (here / "a.parquet").write_text("x")
    with pytest.raises(error, match=message) as caught:
        run("put", file, to)
    assert isinstance(caught.value, PerennialError)
    assert "\n" not in str(caught.value)
