"""Rollouts on the real stack: hand-made versions, clients, and ways to do harm."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from benchmarks.rollout.traffic import Driven, Traffic
from benchmarks.versions import put_version
from perennial.demo.client import Client
from perennial.demo.prefect_client import Deployments
from perennial.local import status
from perennial.packaging.graph import Graph
from perennial.packaging.signature import Feature, Signature
from perennial.registry import (
    State,
    change_state,
    declare,
    new_entry,
    next_version,
    read_history,
    read_state,
)
from perennial.rollout.stages import challenge, in_flight
from perennial.settings import Settings
from perennial.store import Store, acquire_lease
from worker.identity import Identity

SIGNATURE = Signature(
    task="regression",
    target="y",
    features=(Feature(name="x", kind="numeric"), Feature(name="c", kind="categorical")),
)
STAGES = (
    "shadow: {rows: 50, time: 1d}, canary: {weights: [0.2, 0.5], rows: 50, time: 1d}, "
    "bake: {rows: 60, time: 1d}, labels: 30"
)
PLACES = [("shadow", 0.0), ("canary", 0.2), ("canary", 0.5), ("bake", 0.0)]
ENDED_WELL = {"COMPLETED", "CANCELLED"}
"""Green, or grey where a run came to what calls for a look: a drift, data that are held."""
TERMINAL = {*ENDED_WELL, "CRASHED", "FAILED"}
MOST = 500_000


def line_model(slope: float) -> bytes:
    """Answers ``slope * x``."""
    graph = Graph()
    scaled = graph.affine(graph.numeric(1), np.array([[slope]]), np.zeros(1))
    code = graph.level_index(graph.column(graph.categorical(1), 0), ("a", "b"))
    nothing = graph.lookup(np.zeros((3, 1)), code)
    model: bytes = graph.finish(graph.add("Add", scaled, nothing), 1).SerializeToString()
    return model


def world(slope: float) -> Callable[[int], tuple[dict[str, Any], float]]:
    """Rows whose truth is ``slope * x`` and a little noise."""
    rng = np.random.default_rng(0)
    x, noise = rng.normal(size=5000), rng.normal(size=5000)
    c = rng.choice(["a", "b"], 5000)
    y = slope * x + noise

    def row(number: int) -> tuple[dict[str, Any], float]:
        place = number % 5000
        return {"x": float(x[place]), "c": str(c[place])}, float(y[place])

    return row


@dataclass
class Stack:
    """A stack that is up."""

    directory: Path
    settings: Settings
    store: Store
    deployments: Deployments

    def kill(self, part: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Signal a part's main process, once it is there: it may be on its way up again."""
        os.kill(until(lambda: self._pid(part)), number)

    def _pid(self, part: str) -> int | None:
        """A part's main process; None while it is started again."""
        return next(p.pid for p in status(self.directory).parts if p.name == part)

    @contextmanager
    def stopped(self, part: str) -> Iterator[None]:
        """Have a part stand still: whoever asks it hears nothing."""
        self.kill(part, signal.SIGSTOP)
        try:
            yield
        finally:
            self.kill(part, signal.SIGCONT)

    def runs(self, name: str) -> list[dict[str, Any]]:
        """Flow runs of a name, the newest first."""
        body = {"flow_runs": {"name": {"any_": [name]}}, "sort": "START_TIME_DESC"}
        found = httpx.post(f"{self.settings.prefect_address}/flow_runs/filter", json=body)
        runs: list[dict[str, Any]] = found.raise_for_status().json()
        return runs

    def ended(self, name: str, timeout: float = 60) -> list[dict[str, Any]]:
        """Wait until all runs of a name have ended."""
        until(lambda: all(r["state_type"] in TERMINAL for r in self.runs(name)), timeout)
        return self.runs(name)


class Pipeline:
    """A pipeline whose first version, ``3 x``, answers."""

    def __init__(self, stack: Stack, name: str, rollout: str = STAGES) -> None:
        self.stack, self.name, self.store = stack, name, stack.store
        folder = stack.directory.parent / name
        folder.mkdir()
        (folder / "pipeline.yaml").write_text(
            f"name: {name}\ntask: regression\nsource: {{uri: data.csv}}\ntarget: y\n"
            f"monitor: {{schedule: null}}\nrollout: {{{rollout}}}\n"
        )
        self.rollout = declare(self.store, folder).spec.rollout
        self.first = self.register(3.0)
        self.start("rollout/rollout", wait=True)
        self.client = Client(str(stack.settings.server_url), name)
        until(lambda: self.client.serves(self.first))

    @property
    def state(self) -> State:
        return read_state(self.store, self.name).state

    @property
    def events(self) -> list[str]:
        """What became of versions behind the first."""
        entries = read_history(self.store, self.name)
        return [e.event for e in entries if e.version != self.first]

    def register(self, slope: float) -> str:
        """Put a version into the store that answers ``slope * x``, and make it challenger."""
        model = line_model(slope)
        version = next_version(self.store, self.name, model)
        put_version(self.store, self.name, version, model, SIGNATURE)
        lease = acquire_lease(self.store, self.name, "a test")
        entry = new_entry("version.registered", version=version, reason="a test", by="a test")
        change_state(
            self.store,
            self.name,
            lambda state: challenge(state, version, self.rollout),
            entry,
            fence=lease.token,
        )
        lease.release()
        return version

    def start(self, deployment: str, *, wait: bool = False, **parameters: Any) -> str:
        """Start a deployment for this pipeline."""
        run = self.stack.deployments.start(deployment, {"pipeline": self.name, **parameters})
        if wait:
            state = self.stack.deployments.wait(run, timeout=60)
            assert state is not None
            assert state["type"] in ENDED_WELL, state
        return run

    def watching(self) -> dict[str, Any] | None:
        """The run that watches now."""
        runs = self.stack.runs(f"rollout {self.name}")
        return next(
            (r for r in runs if r["state_type"] == "RUNNING" and r["infrastructure_pid"]), None
        )

    def kill_run(self) -> bool:
        """kill -9 of the run that watches; False where none does."""
        run = self.watching()
        if run is None:
            return False
        os.kill(Identity.parse(run["infrastructure_pid"]).process.pid, signal.SIGKILL)
        return True

    def drive(self, is_over: Callable[[], bool], *, slope: float) -> Driven:
        """Ask and tell the truth until something is over."""
        tag = f"{self.name}-{time.time_ns()}"
        url = str(self.stack.settings.server_url)
        rows = world(slope)
        return Traffic(url, self.name, rows, tag=tag, connections=2, pause=0.01).drive(
            is_over, most=MOST
        )

    def is_over(self) -> bool:
        """Whether no rollout is under way."""
        state = self.state
        return state.challenger is None and not in_flight(state)


class HarmInEveryStage:
    """Is over with the rollout; does harm once in each stage and weight as it comes to it."""

    def __init__(self, pipeline: Pipeline, harm: Callable[[], bool]) -> None:
        self._pipeline, self._harm = pipeline, harm
        self.done: list[tuple[str, float]] = []

    def __call__(self) -> bool:
        state = self._pipeline.state
        place = state.stage, state.weight
        if place in PLACES and place not in self.done and self._harm():
            now = self._pipeline.state
            if (now.stage, now.weight) == place:
                self.done.append(place)
        return self._pipeline.is_over()


def until(met: Callable[[], Any], timeout: float = 60) -> Any:
    """Wait for something, and give what there is then."""
    deadline = time.monotonic() + timeout
    while not (found := met()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)
    return found
