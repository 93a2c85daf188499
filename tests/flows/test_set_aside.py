"""One bad pipeline is set aside with its reason, and all others go on."""

from __future__ import annotations

import pytest
from prefect.client.orchestration import get_client

from flows.compact import compact
from flows.gc import gc
from flows.monitor import monitor
from flows.recover import recover
from perennial.registry import declare, read_look
from perennial.store import layout
from tasks.declaration import MONITOR
from tests.flows.conftest import frame
from tests.flows.test_flows import run
from tests.flows.test_forms import deployed
from tests.flows.test_notify import box  # noqa: F401 -- a fixture

DAILY = "monitor: {schedule: '7 3 * * *', window: 50 rows}\n"


@pytest.fixture
def client(prefect_server):
    with get_client(sync_client=True) as client:
        yield client


@pytest.fixture
def three(connected, pipeline, tmp_path):
    """``line`` is sound. ``bad`` was, until its schedule was edited; ``torn`` lost its state."""
    line = pipeline(frame(40))
    text = (line / "pipeline.yaml").read_text().replace("monitor: {window: 50 rows}\n", DAILY)
    for name in ("bad", "line", "torn"):
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        (folder / "pipeline.yaml").write_text(text.replace("name: line", f"name: {name}"))
        frame(40).to_csv(folder / "data.csv", index=False)
        declare(connected, folder)
    bad = tmp_path / "bad" / "pipeline.yaml"
    bad.write_text(bad.read_text().replace("7 3 * * *", "every hour"))
    connected.put(layout.state("torn"), b"{")
    connected.put(layout.declaration("lost"), b"[]")
    return tmp_path


def schedules(client):
    found = client.read_deployment_by_name(MONITOR).schedules
    return {schedule.slug: schedule.schedule.cron for schedule in found}


def test_recover_sees_to_all_others_and_takes_one_that_was_mended(three, connected, client):
    deployed(client, monitor)
    state = run(recover)
    assert (state.name, state.type.value) == ("Set aside", "COMPLETED")
    assert state.message.startswith("2 of the pipelines: ")
    assert "bad: " in state.message
    assert "monitor.schedule: 'every hour' stood there" in state.message
    assert "lost: lost/pipeline.json cannot be read" in state.message
    assert schedules(client)["line"] == "7 3 * * *"
    assert "bad" not in schedules(client)
    file = three / "bad" / "pipeline.yaml"
    file.write_text(file.read_text().replace("every hour", "5 * * * *"))
    connected.delete(layout.declaration("lost"))
    assert run(recover).name == "Nothing to do"
    assert schedules(client)["bad"] == "5 * * * *"


def test_a_look_at_all_pipelines_goes_past_those_that_fail(three, connected):
    state = run(monitor)
    assert state.type.value == "FAILED"
    assert "bad: " in state.message
    assert "torn: torn/state.json cannot be read" in state.message
    assert "line: no full window has come" in state.message
    assert read_look(connected, "line").failures == 0
    assert read_look(connected, "bad").failures == 1


def test_a_monitor_that_fails_twice_in_a_row_is_told_of(box, three, connected):  # noqa: F811
    for _ in range(3):
        assert run(monitor, pipeline="torn").type.value == "FAILED"
    assert read_look(connected, "torn").failures == 3
    assert box.titles == ["torn: the monitor keeps failing, nobody looks at the stream"]
    assert "no successful monitor run yet (2 failures in a row): torn/state" in box.messages[0][1]
    connected.delete(layout.state("torn"))
    assert run(monitor, pipeline="torn").name == "Checked"
    assert read_look(connected, "torn").failures == 0


@pytest.mark.parametrize("nightly", [compact, gc], ids=lambda flow: flow.name)
def test_the_nightly_runs_go_past_one_that_is_broken(three, nightly):
    state = run(nightly)
    assert "line: " in state.message
    if nightly is gc:
        assert state.type.value == "FAILED"
        assert "torn: torn/state.json cannot be read" in state.message
