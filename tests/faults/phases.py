"""When in a heal a fault comes, as the store tells it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

from perennial.store import layout
from tests.faults.patient import MONITOR, Patient


def _checking(p: Patient) -> bool:
    return any(run["state_type"] == "RUNNING" for run in p.runs(MONITOR))


def _asked(p: Patient) -> bool:
    return bool(p.causes())


def _held(p: Patient) -> bool:
    found = p.store.find(layout.lease(p.name))
    return found is not None and not json.loads(found.data)["released"]


def _snapshot(p: Patient) -> bool:
    return sum(i.key.endswith(".json") for i in p.store.scan(layout.snapshots(p.name))) > 1


def _candidate(p: Patient) -> bool:
    return any(p.first not in name for name in p.store.folders(f"{p.name}/versions/"))


def _registered(p: Patient) -> bool:
    return p.state.challenger is not None or p.state.champion != p.first


def _canary(p: Patient) -> bool:
    return p.state.stage == "canary" or p.state.champion != p.first


def _baking(p: Patient) -> bool:
    return p.state.champion != p.first


PHASES: dict[str, Callable[[Patient], bool]] = {
    "check": _checking,
    "decision": _asked,
    "retrain begins": _held,
    "snapshot": _snapshot,
    "candidate": _candidate,
    "registered": _registered,
    "canary": _canary,
    "bake": _baking,
}


def await_phase(patient: Patient, phase: str, timeout: float = 120) -> None:
    """Wait until a heal has come to a phase, or is past it.

    Raises:
        TimeoutError: it never does.
    """
    deadline = time.monotonic() + timeout
    while not PHASES[phase](patient):
        if time.monotonic() > deadline:
            raise TimeoutError(f"the heal never came to its phase {phase!r}")
        time.sleep(0.04)
