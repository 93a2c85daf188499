"""A source that is away, or has rows that cannot be used, stops neither monitor nor retrain."""

import json

import pandas as pd
import pytest

from flows.monitor import monitor
from flows.retrain import retrain
from perennial.packaging.signature import TimeField
from perennial.registry import list_versions, read_file, read_history, read_signature
from perennial.registry.manifest import SPEC_FILE
from perennial.spec import TimeFormat
from perennial.store import layout
from perennial.validation.quarantine import Quarantine
from tests.flows.conftest import frame
from tests.flows.live import Traffic
from tests.flows.test_flows import run, trained


def checks(store):
    keys = [info.key for info in store.scan(layout.checks("line"))]
    return [json.loads(store.get(key).data) for key in keys]


@pytest.fixture
def dated(connected, pipeline):
    """A pipeline with German dates."""

    def write(days):
        folder = pipeline(frame(len(days)).assign(day=days))
        with (folder / "pipeline.yaml").open("a") as file:
            file.write("time: day\n")
        return folder

    return write


def test_the_monitor_goes_on_without_the_source_and_says_so(connected, pipeline):
    data = frame(600)
    data.loc[::9, "y"] = None
    trained(pipeline, data)
    Traffic(connected, slope=3.0).send(100)
    run(monitor, pipeline="line")
    folder = pipeline(pd.concat([data, frame(120, seed=5)]))
    run(monitor, pipeline="line")
    whole = (folder / "data.csv").read_bytes()
    (folder / "data.csv").unlink()
    Traffic(connected, slope=3.0, sent=1000).send(100)
    assert run(monitor, pipeline="line").type.value in ("COMPLETED", "CANCELLED")
    (folder / "data.csv").write_bytes(whole)
    Traffic(connected, slope=3.0, sent=2000).send(50)
    run(monitor, pipeline="line")
    seen = checks(connected)
    away = [check["source_away"] is not None for check in seen]
    assert away == [False] * 4 + [True] * 2 + [False]
    assert "there is no file" in seen[4]["source_away"]
    assert all(check["losses"] and not check["data"] for check in seen)
    assert [check["rows"] for check in seen] == [50] * 7


def test_a_retrain_without_its_source_fails_in_one_line_that_the_history_has(connected, pipeline):
    folder = pipeline(frame())
    run(retrain, pipeline="line")
    (folder / "data.csv").unlink()
    state = run(retrain, pipeline="line")
    assert state.type.value == "FAILED"
    newest = [*read_history(connected, "line")][-1]
    assert newest.event == "retrain.failed"
    assert newest.reason == f"source.uri: there is no file {folder / 'data.csv'}"


def test_rows_of_the_source_that_cannot_be_used_go_to_quarantine_once(connected, dated):
    days = list(pd.date_range("2030-01-01", periods=400).strftime("%d.%m.%Y"))
    days[5], days[300] = "gestern", ""
    dated(days)
    for _ in range(2):
        run(retrain, pipeline="line")
    assert len(list_versions(connected, "line")) >= 1
    quarantine = Quarantine(connected, "line")
    (entry,) = quarantine.entries()
    assert entry.record.reasons == (
        "is_time(day): 2, such as day: 'gestern' is none: write 31.01.2026",
    )
    rows = quarantine.rows(entry.record.name)
    assert list(rows["_fault"]) == [
        "day: 'gestern' is none: write 31.01.2026",
        "day: there is none: write 31.01.2026",
    ]
    assert [name.split("-")[1] for name in rows["_row"]] == ["5", "300"]


def test_requests_may_write_the_time_as_the_source_does(connected, dated):
    dated(list(pd.date_range("2030-01-01", periods=400).strftime("%d.%m.%Y")))
    run(retrain, pipeline="line")
    (manifest,) = list_versions(connected, "line")
    time = read_signature(connected, manifest).time
    assert time == TimeField(name="day", format=TimeFormat(format="%d.%m.%Y"))
    assert json.loads(read_file(connected, manifest, SPEC_FILE))["time_format"] == "%d.%m.%Y"
