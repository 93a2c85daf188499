"""What a round does to the loop. Each harm begins the heal, and leaves all parts to themselves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from perennial.local.processes import stack_processes
from perennial.local.state import StackFiles
from tests.e2e.rollouts import ENDED_WELL, Stack, until
from tests.faults.patient import MONITOR, RETRAIN, ROLLOUT, Patient, call
from tests.faults.phases import PHASES, await_phase
from worker.identity import Identity

TRIGGER = "a confirmed drift starts a retrain"
SMALL = 48
"""Megabytes of the disks that are filled."""


@dataclass
class Round:
    """One patient, one phase, and how long "away" is, in seconds."""

    stack: Stack
    patient: Patient
    phase: str
    away: float

    def begin(self) -> None:
        """Have the monitor look, as its schedule would."""
        self.patient.start(MONITOR)

    def come_to_phase(self) -> None:
        self.begin()
        await_phase(self.patient, self.phase)


def kill_flow(r: Round) -> None:
    r.come_to_phase()
    _kill_runs(r)


def kill_worker_and_flow(r: Round) -> None:
    r.come_to_phase()
    state = StackFiles(r.stack.directory).read_state()
    assert state is not None
    forks = [p for p in stack_processes(state.id) if "worker.fork_server" in p.cmdline()]
    r.stack.kill("worker")
    for process in forks:
        process.kill()


def kill(part: str) -> Callable[[Round], None]:
    def harm(r: Round) -> None:
        r.come_to_phase()
        r.stack.kill(part)

    return harm


def away(part: str) -> Callable[[Round], None]:
    def harm(r: Round) -> None:
        r.come_to_phase()
        with r.stack.stopped(part):
            time.sleep(r.away)

    return harm


def fill_disk(r: Round) -> None:
    r.come_to_phase()
    with ExitStack() as full:
        for place in small_disks(r.stack.directory):
            full.callback((place / "filler").unlink)
            with suppress(OSError), (place / "filler").open("wb") as file:
                while True:
                    file.write(bytes(1 << 16))
        time.sleep(r.away)


def jump_clock(r: Round) -> None:
    """The monitor's clock is an hour ahead, that of the first retrain two hours behind."""
    with event_lost(r):
        r.patient.start(MONITOR, clock=3600)
        cause = _decided(r)
    r.patient.start(RETRAIN, clock=-7200, **cause)
    await_phase(r.patient, "retrain begins")
    r.patient.start(RETRAIN, **cause)
    r.patient.start(ROLLOUT, clock=1800)


def two_monitors(r: Round) -> None:
    r.begin()
    r.begin()


def two_retrains(r: Round) -> None:
    with event_lost(r):
        r.begin()
        cause = _decided(r)
    r.patient.start(RETRAIN, **cause)
    r.patient.start(RETRAIN, **cause)


def lose_event(r: Round) -> None:
    with event_lost(r):
        r.begin()
        _decided(r)


def send_event_ten_times(r: Round) -> None:
    r.begin()
    cause = _decided(r)
    payload = {"pipeline": r.patient.name, **cause, "verdict": cause["cause"]}
    event = {
        "event": "perennial.drift.confirmed",
        "resource": {"prefect.resource.id": f"perennial.pipeline.{r.patient.name}"},
        "payload": payload,
    }
    for _ in range(10):
        stamp = {"id": str(uuid4()), "occurred": datetime.now(UTC).isoformat()}
        call(r.stack, "/events", [{**event, **stamp}])


def heal_beside_another(r: Round) -> None:
    """Another pipeline's retrain holds the slot: this one's has to wait, not to be lost."""
    neighbour = Patient(r.stack, f"{r.patient.name}-beside", 0)
    r.begin()
    _decided(r)
    neighbour.learn()
    neighbour.close()


@contextmanager
def event_lost(r: Round) -> Iterator[None]:
    """Have nobody listen while the monitor has finished."""
    found = call(r.stack, "/automations/filter", {})
    (automation,) = [a["id"] for a in found if a["name"] == TRIGGER]
    call(r.stack, f"/automations/{automation}", {"enabled": False}, "PATCH")
    try:
        yield
        until(lambda: all(run["state_type"] in ENDED_WELL for run in r.patient.runs(MONITOR)))
        time.sleep(1)
    finally:
        call(r.stack, f"/automations/{automation}", {"enabled": True}, "PATCH")


def _decided(r: Round) -> dict[str, Any]:
    """Wait for the check that asks for a heal; gives the parameters of its retrain."""
    key = until(r.patient.causes)[-1]
    decision = json.loads(r.stack.store.get(key).data)["decision"]
    return {"cause": key, "reason": decision["reason"], "depth": decision["depth"] or "retrain"}


def _kill_runs(r: Round) -> None:
    def killed() -> int:
        count = 0
        for run in r.patient.runs():
            if run["state_type"] == "RUNNING" and run["infrastructure_pid"]:
                with suppress(ProcessLookupError):
                    os.kill(Identity.parse(run["infrastructure_pid"]).process.pid, signal.SIGKILL)
                    count += 1
        return count

    until(killed, 20)


def small_disks(directory: Path) -> list[Path]:
    """Folders of a stack that lie on small disks of their own."""
    return [place for place in (directory / "serving", directory / "work") if place.is_mount()]


@contextmanager
def on_small_disks(directory: Path) -> Iterator[None]:
    """Mount the server's spool and the flows' temporary files on small disks, where root may."""
    places = [directory / "serving", directory / "work"]
    with ExitStack() as mounted:
        for place in places:
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
            if os.geteuid() == 0:
                mount = ["mount", "-t", "tmpfs", "-o", f"size={SMALL}m", "tmpfs", str(place)]
                if subprocess.run(mount, capture_output=True, check=False).returncode == 0:
                    mounted.callback(subprocess.run, ["umount", "-l", str(place)], check=False)
        yield


KILLS: dict[str, Callable[[Round], None]] = {
    "flow killed": kill_flow,
    "worker and flow killed": kill_worker_and_flow,
    "Prefect server killed": kill("prefect"),
    "store killed": kill("store"),
    "inference server killed": kill("serving"),
}
LASTING: dict[str, Callable[[Round], None]] = {
    "store away": away("store"),
    "Prefect server away": away("prefect"),
    "disk full": fill_disk,
}
AT_ONCE: dict[str, Callable[[Round], None]] = {
    "clocks jump": jump_clock,
    "two monitors": two_monitors,
    "two retrains": two_retrains,
    "event lost": lose_event,
    "event ten times": send_event_ten_times,
    "two heals": heal_beside_another,
}
HARMS = {**KILLS, **LASTING, **AT_ONCE}


def phases_of(harm: str) -> list[str]:
    """Phases of a heal in which a harm can be done."""
    if harm in AT_ONCE:
        return [""]
    return list(PHASES)
