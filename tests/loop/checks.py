"""Checks as the monitor writes them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from perennial.datasets.log_reader import Arrived
from perennial.drift.decision import Decision
from perennial.loop.record import Facts, WindowCheck
from perennial.store import Store, layout
from perennial.store.layout import window_name
from tests.loop.making import NOW

NOTHING = Arrived(newest=0.0)


def moment(number: int) -> datetime:
    """When window ``number`` was judged."""
    return NOW + timedelta(hours=number)


def check(number: int, **changes: Any) -> WindowCheck:
    """Of window ``number``, judged an hour after the one before it."""
    name, at = window_name(number), moment(number)
    kept = Decision(action="keep", ground="none", reason="nothing")
    facts = Facts(
        window=name,
        at=at,
        declaration="d",
        suite=None,
        source_rows=0,
        requests=NOTHING,
        labels=NOTHING,
    )
    known: dict[str, Any] = {
        "window": name,
        "pipeline": "p",
        "facts": facts,
        "known": None,
        "rows": 40,
        "champion": "0001",
        "decision": kept,
        "at": at,
    }
    return WindowCheck(**{**known, **changes})


def asks(number: int, depth: str = "correct") -> WindowCheck:
    """One that asks for a heal."""
    return check(
        number, decision=Decision(action="heal", depth=depth, ground="members", reason="it helps")
    )


def keep(store: Store, *checks: WindowCheck) -> None:
    """Write them."""
    for one in checks:
        store.put_json(layout.check("p", one.window), one, if_absent=True)
