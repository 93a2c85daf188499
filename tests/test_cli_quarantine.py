"""What was refused, from the command line, with nothing but a store."""

import json

import pandas as pd
import pytest
from typer.testing import CliRunner

from perennial.cli import app
from perennial.datasets.stream import Cursor
from perennial.errors import PerennialError, SourceError
from perennial.registry import declare
from perennial.store import layout
from perennial.store.lease import utc_now
from perennial.validation.cause import Cause
from perennial.validation.quarantine import Quarantine

SNAPSHOT = "ab12" * 16


@pytest.fixture
def quarantine(store, settings, monkeypatch):
    """Two refused rows and a held window."""
    monkeypatch.setenv("PERENNIAL_S3_ENDPOINT", settings.s3_endpoint)
    monkeypatch.setenv("PERENNIAL_BUCKET", settings.bucket)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", settings.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", settings.secret_key)
    found = Quarantine(store, "bike")
    rows = pd.DataFrame({"temp": [999.0, -999.0]})
    found.put_aside(SNAPSHOT, rows, ["high(temp)", "low(temp)"], ["r-1", "r-2"], utc_now())
    cause = Cause(kind="frozen_column", columns=("temp",), detail="still")
    start, end = Cursor(source_rows=0), Cursor(source_rows=30)
    found.hold("w000002", [cause], start, end, 30, utc_now())
    return found


def run(*arguments):
    result = CliRunner().invoke(app, ["quarantine", "bike", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_what_was_refused_is_listed_with_the_reason(quarantine):
    listed = json.loads(run("--json"))
    assert [(e["record"]["kind"], e["record"]["rows"], e["released"]) for e in listed] == [
        ("rows", 2, 0),
        ("window", 30, 0),
    ]
    text = run()
    assert SNAPSHOT[:12] in text
    assert "w000002-held" in text


def test_rows_are_shown_with_the_rule_and_the_id_of_each(quarantine):
    lines = run("--show", SNAPSHOT[:6]).splitlines()
    assert lines[0].split() == ["_rule", "_row", "temp"]
    assert lines[1].split() == ["high(temp)", "r-1", "999.0"]
    rows = [json.loads(line) for line in run("--show", "ab", "--json").splitlines()]
    assert [row["_row"] for row in rows] == ["r-1", "r-2"]


def test_rows_of_one_rule_are_released_and_then_a_window(quarantine):
    assert run("--release", "ab12", "--rule", "low") == (
        f"{SNAPSHOT}: 1 of the rows will be used from the next snapshot on.\n"
    )
    assert quarantine.exempt() == {"r-2"}
    run("--release", "w000002", "--why", "it did stand still")
    assert quarantine.held_windows() == []
    assert quarantine.entries()[1].releases[0].why == "it did stand still"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--show", "zz"], "nothing in the quarantine of bike is named zz"),
        (["--release", "ab", "--rule", "no"], "was refused by 'no'"),
    ],
)
def test_what_is_not_there_is_said_in_one_line(quarantine, arguments, message):
    with pytest.raises(PerennialError, match=message) as caught:
        run(*arguments)
    assert "\n" not in str(caught.value)


def test_an_empty_quarantine_says_so(store, quarantine):
    store.put(layout.declaration("other"), b"{}")
    result = CliRunner().invoke(app, ["quarantine", "other"], catch_exceptions=False)
    assert "Nothing is in quarantine." in result.output


@pytest.mark.usefixtures("quarantine")
def test_data_are_held_against_the_expectations_before_they_are_given(store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pipeline.yaml").write_text(
        "name: bike\ntask: regression\nsource: {uri: a.csv}\ntarget: cnt\n"
    )
    declare(store, tmp_path)
    rule = {
        "type": "expect_column_values_to_be_between",
        "kwargs": {"column": "temp", "max_value": 50},
        "meta": {"severity": "quarantine"},
    }
    suite = {"name": "bike", "expectations": [rule]}
    store.put(layout.expectations("bike"), json.dumps(suite).encode())
    data = tmp_path / "rows.parquet"
    pd.DataFrame({"temp": [*range(40), 999]}).to_parquet(data)
    passed = CliRunner().invoke(app, ["validate", "bike", str(data)], catch_exceptions=False)
    assert passed.exit_code == 0
    assert "1 rows to be set aside: the data may be used" in passed.output
    pd.DataFrame({"temp": [999.0] * 9}).to_parquet(data)
    assert CliRunner().invoke(app, ["validate", "bike", str(data)]).exit_code == 1
    with pytest.raises(SourceError, match="nowhere is not there"):
        CliRunner().invoke(app, ["validate", "bike", "nowhere"], catch_exceptions=False)
