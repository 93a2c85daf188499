import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from perennial.errors import RequestError, SourceError, SpecError, StoreError
from perennial.packaging.predictor import Predictor, RowEncoder
from perennial.scoring import ScoreManifest, check_kept, find_job, finish_job
from tests.scoring.rows import expected, put, rows, scorer, scores
from tests.serving.serving_models import (
    BINARY,
    MULTICLASS,
    REGRESSION,
    put_version,
    sigmoid_model,
    softmax_model,
    sum_model,
)

ROOT = Path(__file__).parents[2]


@pytest.fixture
def model(store):
    put_version(store, "p", "0001", sum_model())


def run(scoring):
    return [(part.number, is_new) for part, is_new in scoring.run()]


def started(settings, part_rows):
    environment = {
        **os.environ,
        "PERENNIAL_S3_ENDPOINT": settings.s3_endpoint,
        "PERENNIAL_BUCKET": settings.bucket,
        "AWS_ACCESS_KEY_ID": settings.access_key,
        "AWS_SECRET_ACCESS_KEY": settings.secret_key,
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-m", "tests.scoring.rows", str(part_rows)]
    return subprocess.Popen(command, env=environment, cwd=ROOT, stdout=subprocess.PIPE)


@pytest.mark.usefixtures("model")
def test_each_input_row_has_one_output_row_in_order(store):
    first, second = rows(5500, seed=1), rows(1300, seed=2)
    put(store, "in/a.parquet", first)
    put(store, "in/deep/b.parquet", second)
    put(store, "in/_tmp/c.parquet", second)
    scoring = scorer(store, keep=("id",))
    assert run(scoring) == [(0, True), (1, True), (2, True), (3, True)]
    table = scores(store)
    assert table.schema.names == ["row", "prediction", "id"]
    assert table.column("row").to_pylist() == list(range(6800))
    assert table.column("id").to_pylist() == [*first["id"].to_pylist(), *second["id"].to_pylist()]
    wanted = np.concatenate([expected(first), expected(second)])
    np.testing.assert_allclose(table.column("prediction").to_numpy(), wanted, atol=1e-5)


@pytest.mark.usefixtures("model")
def test_the_answers_are_those_of_the_server_to_the_bit(store):
    table = rows(300)
    put(store, "in/a.parquet", table)
    run(scorer(store))
    encoded = RowEncoder(REGRESSION).encode(table.drop(["id"]).to_pylist())
    answers = Predictor(sum_model(), REGRESSION).predict(*encoded.inputs())
    assert scores(store).column("prediction").to_numpy().tobytes() == answers[:, 0].tobytes()


@pytest.mark.usefixtures("model")
def test_text_columns_may_be_dictionaries_and_numbers_decimals_or_bools(store):
    table = pa.table(
        {
            "x": pa.array([True, False, None]),
            "city": pa.array(["a", None, "b"]).dictionary_encode(),
            "z": pa.array([1, None, 3]).cast(pa.decimal128(21, 2)),
        }
    )
    put(store, "in/a.parquet", table)
    run(scorer(store))
    assert scores(store).column("prediction").to_pylist() == [3.0, 0.0, 5.0]


@pytest.mark.parametrize("extra", [[], ["id"]])
def test_classes_are_named_and_their_probabilities_told(store, extra):
    put(store, "in/a.parquet", pa.table({"x": [-3.0, 3.0], "id": ["n", "y"]}))
    put_version(store, "p", "0001", sigmoid_model(), BINARY)
    run(scorer(store, keep=tuple(extra)))
    table = scores(store)
    assert table.column("prediction").to_pylist() == ["no", "yes"]
    assert table.column("probability").to_pylist() == pytest.approx([0.0474, 0.9526], abs=1e-4)
    assert table.schema.metadata[b"perennial.classes"] == b"no\nyes"


def test_more_classes_have_a_probability_each(store):
    put(store, "in/a.parquet", pa.table({"x": [-3.0, 0.0, 3.0]}))
    put_version(store, "p", "0001", softmax_model(), MULTICLASS)
    run(scorer(store))
    table = scores(store)
    assert table.column("prediction").to_pylist() == ["c", "a", "a"]
    assert table.column("probabilities").to_pylist()[1] == pytest.approx([1 / 3] * 3)


@pytest.mark.usefixtures("model")
def test_a_run_that_goes_on_scores_only_what_is_missing_with_the_version_it_began_with(store):
    put(store, "in/a.parquet", rows(5000))
    running = scorer(store).run()
    assert next(running)[1]
    put_version(store, "p", "0002", sum_model(100.0))
    again = scorer(store, version="0002")
    assert run(again) == [(0, False), (1, True), (2, True)]
    manifest = finish_job(store, "out/", again._job)
    assert (manifest.version, manifest.rows, len(manifest.parts)) == ("0001", 5000, 3)
    np.testing.assert_allclose(
        scores(store).column("prediction").to_numpy(), expected(rows(5000)), atol=1e-5
    )


@pytest.mark.usefixtures("model")
def test_two_runs_at_once_write_each_part_once(store):
    put(store, "in/a.parquet", rows(5000))
    one, other = scorer(store), scorer(store)
    for _ in zip(one.run(), other.run(), strict=True):
        pass
    assert scores(store).column("row").to_pylist() == list(range(5000))
    first, second = (finish_job(store, "out/", one._job) for _ in range(2))
    assert first == second


@pytest.mark.usefixtures("model")
def test_there_is_no_manifest_before_all_parts(store):
    put(store, "in/a.parquet", rows(5000))
    scoring = scorer(store)
    next(scoring.run())
    with pytest.raises(StoreError, match="part 1 of out/ is not in the store"):
        finish_job(store, "out/", scoring._job)


@pytest.mark.usefixtures("model")
def test_a_killed_run_is_gone_on_with(store, settings):
    table = rows(60_000)
    put(store, "in/a.parquet", table, group=1000)
    for enough in (2, 9):
        process = started(settings, 2000)
        while len(list(store.scan("out/part-"))) < enough and process.poll() is None:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
    standing = {info.key: info.etag for info in store.scan("out/part-")}
    assert len(standing) < 30
    process = started(settings, 2000)
    told = json.loads(process.communicate(timeout=60)[0])
    assert told["parts"] == 30
    assert standing.items() <= {info.key: info.etag for info in store.scan("out/part-")}.items()
    found = scores(store)
    assert found.column("row").to_pylist() == list(range(60_000))
    np.testing.assert_allclose(found.column("prediction").to_numpy(), expected(table), atol=1e-5)


@pytest.mark.usefixtures("model")
def test_memory_holds_a_part_and_not_the_file(store, settings):
    """160 MB of rows, in 40 row groups: 4 MB each, and what allocators hold back."""
    sink = io.BytesIO()
    schema = pa.schema([("x", pa.float64()), ("z", pa.float64()), ("city", pa.string())])
    rng = np.random.default_rng(0)
    with pq.ParquetWriter(sink, schema, compression="none", use_dictionary=False) as writer:
        for _ in range(40):
            numbers = {name: rng.normal(size=200_000) for name in ("x", "z")}
            writer.write_table(pa.table({**numbers, "city": ["a"] * 200_000}, schema=schema))
    assert sink.tell() > 150 << 20
    store.put("in/big.parquet", sink.getvalue())
    process = started(settings, 200_000)
    told = json.loads(process.communicate(timeout=120)[0])
    assert told["parts"] == 40
    assert told["growth"] < 80 << 20


@pytest.mark.usefixtures("model")
def test_missing_columns_are_named_before_anything_is_scored(store):
    put(store, "in/a.parquet", rows(10))
    put(store, "in/b.parquet", rows(10).drop(["x", "city"]))
    with pytest.raises(SourceError, match=r"in/b.parquet lacks the columns city, x; it has id, z"):
        scorer(store)
    assert list(store.scan("out/")) == []


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("x", ["1", "2"], "x must hold numbers or bools, it holds string"),
        ("z", [[1], [2]], "z must hold numbers or bools, it holds list<element: int64>"),
        ("city", [[1], [2]], "city must hold text, numbers or bools, it holds list"),
    ],
)
@pytest.mark.usefixtures("model")
def test_a_wrong_type_is_refused_with_column_and_type(store, column, values, message):
    table = rows(2)
    put(store, "in/a.parquet", table.set_column(table.schema.names.index(column), column, [values]))
    with pytest.raises(SourceError, match=f"in/a.parquet: {message}"):
        scorer(store)


@pytest.mark.usefixtures("model")
def test_a_number_beyond_a_float32_is_refused_with_its_row(store):
    table = rows(3000).to_pandas()
    table.loc[2500, "x"] = 1e300
    put(store, "in/a.parquet", pa.Table.from_pandas(table, preserve_index=False))
    with pytest.raises(RequestError, match=r"in/a.parquet, row 2500: x is beyond"):
        run(scorer(store))


@pytest.mark.usefixtures("model")
def test_an_input_that_changes_under_a_scoring_is_noticed(store):
    put(store, "in/a.parquet", rows(5000))
    running = scorer(store).run()
    next(running)
    put(store, "in/a.parquet", rows(5000, seed=9))
    with pytest.raises(SourceError, match="changed or vanished since the scoring began"):
        next(running)
    store.delete("in/a.parquet")
    with pytest.raises(SourceError, match="changed or vanished"):
        run(scorer(store))


@pytest.mark.usefixtures("model")
def test_what_is_no_parquet_or_not_there_is_said(store):
    with pytest.raises(
        SourceError, match=r"no file ending in \.csv, \.csv\.gz or \.parquet in this folder"
    ):
        scorer(store)
    with pytest.raises(SourceError, match="no such file"):
        scorer(store, source="in/a.parquet")
    store.put("in/a.parquet", b"id,x\n1,2\n")
    with pytest.raises(SourceError, match=r"in/a\.parquet is no Parquet file"):
        scorer(store)


@pytest.mark.usefixtures("model")
def test_a_prefix_holds_the_scores_of_one_job(store):
    put(store, "in/a.parquet", rows(10))
    run(scorer(store))
    for other in ({"source": "in/a.parquet"}, {"keep": ("id",)}, {"asked": "0002"}):
        with pytest.raises(SpecError, match="by version 0001 of p: name another prefix"):
            scorer(store, **other)
    assert run(scorer(store, asked="0001")) == [(0, False)]


@pytest.mark.usefixtures("model")
def test_an_input_without_rows_has_scores_without_rows(store):
    put(store, "in/a.parquet", rows(0))
    scoring = scorer(store)
    assert run(scoring) == []
    finish_job(store, "out/", scoring._job)
    manifest = ScoreManifest.model_validate_json(store.get("out/_manifest.json").data)
    assert (manifest.rows, manifest.parts) == (0, ())
    assert find_job(store, "elsewhere/", scoring._job.request, None) is None


def test_columns_to_keep_do_not_take_the_names_of_the_scores():
    with pytest.raises(SpecError, match="'row' is a column of the scores"):
        check_kept(["id", "row"])
    with pytest.raises(SpecError, match="twice"):
        check_kept(["id", "id"])
