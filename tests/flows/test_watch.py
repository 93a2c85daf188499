from datetime import UTC, datetime, timedelta

from perennial.drift import Decision
from perennial.store import layout
from tasks.window_check import WindowCheck, newest_checks, windows_by

BEGAN = datetime(2030, 1, 1, tzinfo=UTC)


def test_windows_are_counted_however_many_are_remembered(connected):
    for number in range(1, 101):
        made = WindowCheck(
            window=f"w{number:06d}",
            input=None,
            losses=(),
            trials=(),
            pipeline="line",
            rows=50,
            champion="0001",
            decision=Decision(action="keep", ground="none", reason="r"),
            at=BEGAN + timedelta(hours=number),
        )
        connected.put_json(layout.check("line", made.window), made)
    assert len([*newest_checks("line")]) < 100
    moments = (0, 1, 12.5, 99, 100, 500)
    counted = [windows_by("line", BEGAN + timedelta(hours=hours)) for hours in moments]
    assert counted == [0, 1, 12, 99, 100, 100]
