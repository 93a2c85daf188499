"""Seeded rounds on one stack."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

from perennial.demo.prefect_client import Deployments
from perennial.local import ensure_up, stop
from perennial.store import open_store
from tests.e2e.rollouts import Stack
from tests.faults.converged import differences, problems
from tests.faults.harms import HARMS, Round, on_small_disks, phases_of, small_disks
from tests.faults.patient import MONITOR, Patient

MONITOR_EVERY = 12.0
PATIENCE = 180.0


@dataclass(frozen=True)
class Planned:
    """What a round will do."""

    number: int
    harm: str
    phase: str
    seed: int


@dataclass(frozen=True)
class Outcome:
    """What came of a round."""

    planned: Planned
    seconds: float
    """From the first monitor on."""
    problems: tuple[str, ...] = ()
    skipped: str | None = None


def plan(rounds: int, seed: int) -> list[Planned]:
    """Draw rounds: every harm in turn, in an order of the seed's, each in all phases in turn."""
    rng = random.Random(seed)
    harms = list(HARMS)
    rng.shuffle(harms)
    phases = {}
    for harm in harms:
        drawn = phases_of(harm)
        rng.shuffle(drawn)
        phases[harm] = cycle(drawn)
    chosen = islice(cycle(harms), rounds)
    return [Planned(n, harm, next(phases[harm]), seed + n) for n, harm in enumerate(chosen, 1)]


@contextmanager
def running_stack(directory: Path) -> Iterator[Stack]:
    """Start a stack whose servers and flows write to small disks, where that is possible."""
    with on_small_disks(directory):
        before = os.environ.get("TMPDIR")
        os.environ["TMPDIR"] = str(directory / "work")
        try:
            settings = ensure_up(directory).settings
        finally:
            os.environ.pop("TMPDIR") if before is None else os.environ.update(TMPDIR=before)
        try:
            deployments = Deployments(str(settings.prefect_address))
            yield Stack(directory, settings, open_store(settings), deployments)
            deployments.close()
        finally:
            stop(directory)


def play(stack: Stack, planned: Planned, away: float) -> Outcome:
    """Have a pipeline fall ill, do the harm in its heal, and wait until all is well."""
    if planned.harm == "disk full" and not small_disks(stack.directory):
        return Outcome(planned, 0.0, skipped="only root can mount a small disk")
    patient = Patient(stack, f"round-{planned.number}", planned.seed)
    began = time.monotonic()
    left: tuple[str, ...]
    try:
        patient.learn()
        patient.fall_ill()
        began = time.monotonic()
        with patient.asked():
            HARMS[planned.harm](Round(stack, patient, planned.phase, away))
            left = _await_convergence(patient) or tuple(differences(patient))
    except Exception as error:
        left = (f"{type(error).__name__}: {error}", *_left(patient))
    patient.close()
    return Outcome(planned, time.monotonic() - began, left)


def _await_convergence(patient: Patient) -> tuple[str, ...]:
    """Wait, with the monitor on its schedule, until nothing is amiss; say what is in the end."""
    deadline, asked = time.monotonic() + PATIENCE, time.monotonic()
    while found := _left(patient):
        now = time.monotonic()
        if now > deadline:
            break
        waiting = any("monitor" in text for text in found if text.startswith("the run "))
        idle = now - asked > MONITOR_EVERY and not waiting
        if idle and not all(text.startswith("the run ") for text in found):
            patient.start(MONITOR)
            asked = time.monotonic()
        time.sleep(0.3)
    return found


def _left(patient: Patient) -> tuple[str, ...]:
    try:
        return tuple(problems(patient))
    except Exception as error:
        return (f"cannot be looked at: {type(error).__name__}: {error}",)
