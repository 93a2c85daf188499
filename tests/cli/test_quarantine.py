"""The rows of a held window can be looked at before it is released."""

import io
import json

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ulid import ULID

from perennial.datasets.log import FEEDBACK_SCHEMA, prediction_schema
from perennial.datasets.stream import Cursor
from perennial.errors import SourceError
from perennial.packaging.signature import Feature, Signature
from perennial.registry import declare
from perennial.store import layout
from perennial.store.lease import utc_now
from perennial.validation.cause import Cause
from perennial.validation.quarantine import Quarantine

CAUSE = Cause(kind="frozen_column", columns=("temp",), detail="still")
SIGNATURE = Signature(
    task="regression",
    target="cnt",
    features=(
        Feature(name="temp", kind="numeric"),
        Feature(name="weather", kind="categorical"),
    ),
)


@pytest.fixture
def of_source(store, bike):
    """A held window of 50 rows of the source."""
    declare(store, bike)
    start, end = Cursor(source_rows=100), Cursor(source_rows=150)
    Quarantine(store, "bike").hold("w000001", [CAUSE], start, end, 50, utc_now())
    return bike


def segment(store, prefix, table):
    key, buffer = layout.log_segment(prefix, str(ULID()), table.num_rows), io.BytesIO()
    pq.write_table(table, buffer)
    store.put(key, buffer.getvalue())
    return key


@pytest.fixture
def served(store, bike):
    """A held window of three served rows, of which one has its truth."""
    declare(store, bike)
    names = ["o-1", "o-2", "o-3"]
    table = pa.table(
        {
            "id": names,
            "time": [utc_now()] * 3,
            "pipeline": ["bike"] * 3,
            "version": ["0001"] * 3,
            "role": ["champion"] * 3,
            "latency": pa.array([900] * 3, pa.int32()),
            "features": [{"temp": float(n), "weather": "rain"} for n in range(3)],
            "output": [[1.0]] * 3,
            "key": pa.array([None] * 3, pa.uint32()),
            "weight": [0.0] * 3,
        },
        schema=prediction_schema(SIGNATURE),
    )
    key = segment(store, layout.prediction_log("bike"), table)
    truth = {"id": ["o-2"], "time": [utc_now()], "label": ["7.5"]}
    segment(store, layout.feedback_log("bike"), pa.table(truth, schema=FEEDBACK_SCHEMA))
    start, end = Cursor(source_rows=200), Cursor(source_rows=200, segment=key, offset=3)
    Quarantine(store, "bike").hold("w000002", [CAUSE], start, end, 3, utc_now())


@pytest.mark.usefixtures("of_source")
def test_a_held_window_shows_its_first_rows_and_says_how_many_there_are(run):
    lines = run("quarantine", "bike", "--show", "w000001-held").output.splitlines()
    assert lines[0].split() == ["_row", "temp", "weather", "casual", "cnt"]
    assert lines[1].split()[0].startswith("source-100-")
    assert len(lines) == 1 + 20 + 1
    assert lines[-1] == "... and 30 more; --rows 50 shows all"
    assert "more" not in run("quarantine", "bike", "--show", "w000001", "--rows", "50").output


@pytest.mark.usefixtures("of_source")
def test_programs_get_all_rows_unless_they_ask_for_fewer(run):
    asked = ["quarantine", "bike", "--show", "w000001", "--json"]
    found = [json.loads(line) for line in run(*asked).output.splitlines()]
    assert len(found) == 50
    assert found[0]["cnt"] == 100.0 + (100 * 100) % 31
    assert len(run(*asked, "--rows", "3").output.splitlines()) == 3


@pytest.mark.usefixtures("served")
def test_served_rows_are_shown_by_their_ids_with_the_truth_that_has_come(run):
    shown = run("quarantine", "bike", "--show", "w000002", "--json").output
    found = [json.loads(line) for line in shown.splitlines()]
    assert [row["_row"] for row in found] == ["o-1", "o-2", "o-3"]
    assert [row["temp"] for row in found] == [0.0, 1.0, 2.0]
    assert [row["cnt"] for row in found] == [None, 7.5, None]
    assert {row["_version"] for row in found} == {"0001"}


def test_a_source_that_is_away_is_named(of_source, run):
    (of_source / "rows.csv").unlink()
    with pytest.raises(SourceError, match="there is no file"):
        run("quarantine", "bike", "--show", "w000001")


@pytest.mark.usefixtures("here")
def test_rows_that_went_aside_have_a_limit_too(store, run):
    frame = pd.DataFrame({"temp": [999.0] * 30})
    ids = [f"r-{n}" for n in range(30)]
    Quarantine(store, "bike").put_aside("ab12", frame, ["high(temp)"] * 30, ids, utc_now())
    lines = run("quarantine", "bike", "--show", "ab12").output.splitlines()
    assert lines[1].split() == ["high(temp)", "r-0", "999.0"]
    assert lines[-1] == "... and 10 more; --rows 30 shows all"
