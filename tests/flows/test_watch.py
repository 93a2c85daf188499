from datetime import UTC, datetime, timedelta

import tasks.lease
from flows.monitor import monitor
from perennial.datasets.log_reader import Arrived
from perennial.drift import Decision
from perennial.loop.record import Facts, WindowCheck, newest_checks, windows_by
from perennial.store import acquire_lease, layout
from tests.flows.test_flows import run, trained

BEGAN = datetime(2030, 1, 1, tzinfo=UTC)
NOTHING = Arrived(newest=0)
FACTS = Facts(
    window="w000001",
    at=BEGAN,
    declaration="",
    suite=None,
    source_rows=0,
    requests=NOTHING,
    labels=NOTHING,
)


def test_windows_are_counted_however_many_are_remembered(connected):
    for number in range(1, 101):
        made = WindowCheck(
            window=f"w{number:06d}",
            input=None,
            losses=(),
            pipeline="line",
            rows=50,
            champion="0001",
            decision=Decision(action="keep", ground="none", reason="r"),
            at=BEGAN + timedelta(hours=number),
            facts=FACTS,
            known=None,
        )
        connected.put_json(layout.check("line", made.window), made)
    assert len([*newest_checks(connected, "line")]) < 100
    moments = (0, 1, 12.5, 99, 100, 500)
    counted = [windows_by(connected, "line", BEGAN + timedelta(hours=hours)) for hours in moments]
    assert counted == [0, 1, 12, 99, 100, 100]


def test_looks_at_one_pipeline_do_not_pile_up(connected, pipeline, monkeypatch):
    monkeypatch.setattr(tasks.lease, "_WATCH_TTL", timedelta(seconds=0.1))
    trained(pipeline)
    lease = acquire_lease(connected, "line", "another look", key=layout.look_lease("line"))
    assert run(monitor, pipeline="line").name == "Skipped"
    lease.release()
    assert run(monitor, pipeline="line").name == "Checked"
