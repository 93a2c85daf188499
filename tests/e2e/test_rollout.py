"""A rollout on the real stack, under load: the challenger is good, its runs are killed."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np
import pandas as pd
import pytest

from perennial.demo.client import Client
from perennial.demo.prefect_client import Deployments
from perennial.local import ensure_up, stop
from perennial.registry import State, read_history, read_state
from perennial.settings import Settings
from perennial.store import Store, open_store
from worker.identity import Identity

pytestmark = pytest.mark.slow

DECLARATION = """
name: line
task: regression
source: {uri: data.csv}
target: y
model: {estimators: [linear]}
monitor: {schedule: null, window: 1000000 rows}
rollout:
  shadow: {rows: 200, time: 60s}
  canary: {weights: [0.2, 0.5], rows: 150, time: 120s}
  bake: {rows: 300, time: 60s}
  labels: 50
"""


def rows(count: int, slope: float, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=count)
    noise = rng.normal(size=count)
    return pd.DataFrame({"x": x, "c": rng.choice(["a", "b"], count), "y": slope * x + noise})


@dataclass
class World:
    """Clients that ask all the time, and tell the truth a moment later."""

    url: str
    slope: float
    answers: Counter[str] = field(default_factory=Counter)
    failed: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> World:
        self._thread = threading.Thread(target=self._ask)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _ask(self) -> None:
        client = Client(self.url, "line")
        sent = 0
        while not self._stop.is_set():
            data = rows(50, self.slope, seed=1000 + sent)
            labels = []
            for x, c, y in data.itertuples(index=False):
                name = f"live-{time.time_ns()}"
                answer = client.predict(name, {"x": x, "c": c})
                if answer is not None:
                    self.answers[answer["version"]] += 1
                    labels.append((name, y))
                time.sleep(0.005)
            client.feedback(labels)
            sent += 1
        self.failed = client.tally.failed
        client.close()


@dataclass
class Stack:
    settings: Settings
    store: Store
    folder: Path
    deployments: Deployments

    @property
    def state(self) -> State:
        return read_state(self.store, "line").state

    def train(self, slope: float, seed: int) -> None:
        rows(600, slope, seed).to_csv(self.folder / "data.csv", index=False)
        run = self.deployments.start("retrain/retrain", {"pipeline": str(self.folder)})
        state = self.deployments.wait(run, timeout=120)
        assert state is not None
        assert state["name"] == "Registered", state

    def wait(self, what: str, met: Callable[[State], bool], timeout: float = 120) -> None:
        deadline = time.monotonic() + timeout
        while not met(self.state):
            assert time.monotonic() < deadline, f"waited for {what}: {self.state}"
            time.sleep(0.2)

    def kill_rollout(self) -> None:
        """kill -9 of the run that watches."""
        body = {"flows": {"name": {"any_": ["rollout"]}}, "sort": "START_TIME_DESC"}
        body["flow_runs"] = {"state": {"type": {"any_": ["RUNNING"]}}}
        found = httpx.post(f"{self.settings.prefect_api_url}/flow_runs/filter", json=body).json()
        assert found
        for run in found:
            os.kill(Identity.parse(run["infrastructure_pid"]).process.pid, signal.SIGKILL)

    def check(self) -> None:
        """What the monitor's schedule would do."""
        run = self.deployments.start("monitor/monitor", {"pipeline": "line"})
        self.deployments.wait(run, timeout=60)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    directory = tmp_path_factory.mktemp("rollout")
    folder = directory / "line"
    folder.mkdir()
    (folder / "pipeline.yaml").write_text(DECLARATION)
    try:
        settings = ensure_up(directory / ".perennial").settings
        deployments = Deployments(str(settings.prefect_api_url))
        yield Stack(settings, open_store(settings), folder, deployments)
        deployments.close()
    finally:
        stop(directory / ".perennial")


def test_a_good_challenger_takes_over_though_its_rollout_is_killed_in_every_stage(stack):
    stack.train(3.0, seed=1)
    stack.wait("the first version to answer", lambda state: state.champion is not None)
    first = stack.state.champion
    time.sleep(2)
    with World(str(stack.settings.server_url), slope=1.5) as world:
        stack.train(1.5, seed=2)
        second = stack.state.challenger
        for stage in ("shadow", "canary", "bake"):
            stack.wait(stage, lambda state, stage=stage: state.stage == stage)
            time.sleep(0.5)
            if stack.state.stage == stage:
                stack.kill_rollout()
                deadline = time.monotonic() + 60
                while stack.state.stage == stage and time.monotonic() < deadline:
                    stack.check()
                    time.sleep(3)
        stack.wait("the end of the bake", lambda state: state.stage == "idle")
    assert (stack.state.champion, stack.state.previous) == (second, first)
    assert world.failed == 0
    assert set(world.answers) == {first, second}
    changes = [e.event for e in read_history(stack.store, "line") if e.version == second]
    assert changes == [
        "version.registered",
        *["rollout.advanced"] * 3,
        "rollout.promoted",
        "rollout.finished",
    ]
