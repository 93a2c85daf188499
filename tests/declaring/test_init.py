"""`init` writes a declaration that is valid, explained and may be committed."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner

from perennial.cli import app
from perennial.datasets.source import read_source
from perennial.declaring import init_pipeline, look_at
from perennial.declaring.write import write_declaration
from perennial.errors import PerennialError
from perennial.spec import load_spec, parse_spec


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A folder with a table that has an id, a time, a copy of the target and a strong feature."""
    rng = np.random.default_rng(0)
    y = rng.normal(size=300)
    frame = pd.DataFrame(
        {
            "when": pd.date_range("2030-01-01", periods=300, freq="h"),
            "customer_id": rng.choice(10_000, 300, replace=False),
            "x": y + rng.normal(size=300),
            "paid": 2 * y,
            "y": y,
        }
    )
    frame.to_csv(tmp_path / "churn.csv", index=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def init(*more: str):
    return CliRunner().invoke(
        app,
        ["init", "churn", "--data", "churn.csv", "--target", "y", *more],
        catch_exceptions=False,
    )


def test_the_declaration_names_the_data_as_seen_from_its_folder(home):
    file = init_pipeline(
        "churn", home / "churn.csv", target="y", time=None, folder=home / "d" / "c"
    )
    spec = load_spec(file.parent)
    assert spec.source.uri == "../../churn.csv"
    assert (spec.time, spec.ignore) == ("when", ("customer_id", "paid"))
    assert len(read_source(spec, file.parent)) == 300


def test_every_guess_stands_in_the_file_with_its_reason(home):
    init()
    text = (home / "data" / "churn" / "pipeline.yaml").read_text()
    for guess in (
        "task:",
        "time:",
        "time_format:",
        "- customer_id",
        "- paid",
        "schedule:",
        "window:",
    ):
        (line,) = (line for line in text.splitlines() if line.strip().startswith(guess))
        assert line.partition("# ")[2]
    assert yaml.safe_load(text)["rollout"]["shadow"]["rows"] == 20


def test_the_table_of_guesses_fits_80_columns_and_ends_with_the_next_command(home):
    lines = init().stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[-1] == "Next: perennial demo churn"
    assert any("paid" in line and "ignored" in line for line in lines)


def test_a_program_can_read_the_guesses(home):
    seen = json.loads(init("--json").stdout)
    assert (seen["file"], seen["time"]) == ("data/churn/pipeline.yaml", "when")
    assert {c["name"]: c["role"] for c in seen["columns"]}["customer_id"] == "ignored"


def test_a_declaration_that_is_there_is_replaced_only_on_request(home):
    given = {"target": "y", "time": None, "folder": home / "c"}
    init_pipeline("churn", home / "churn.csv", **given)
    with pytest.raises(PerennialError, match="--force"):
        init_pipeline("churn", home / "churn.csv", **given)
    init_pipeline("churn", home / "churn.csv", **given, force=True)


@pytest.mark.parametrize(
    ("name", "data", "target"),
    [("churn", "nowhere.csv", "y"), ("churn", "churn.csv", "z"), ("No Name", "churn.csv", "y")],
)
def test_what_is_wrong_is_said_in_one_line_and_nothing_is_written(home, name, data, target):
    with pytest.raises(PerennialError) as error:
        init_pipeline(name, home / data, target=target, time=None, folder=home / "c")
    assert "\n" not in str(error.value)
    assert not (home / "c").exists()


def test_odd_names_and_suspects_make_a_valid_declaration():
    rng = np.random.default_rng(0)
    x = rng.normal(size=400)
    frame = pd.DataFrame({"a: b": range(400), "größe, #1": x, "yes": rng.normal(size=400)})
    frame["#t"] = x > np.where(np.arange(400) % 97 == 0, 9, 0)
    look = look_at(frame, target="#t")
    text = write_declaration("odd", look, uri="my data.csv", how="")
    spec = parse_spec(yaml.safe_load(text), origin="test")
    assert (spec.target, spec.ignore) == ("#t", ("a: b",))
    decided = text.replace("# gates:", "gates:")
    spec = parse_spec(yaml.safe_load(decided), origin="test")
    assert spec.gates.allow_leakage == ("größe, #1",)
