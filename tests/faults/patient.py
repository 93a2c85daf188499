"""A pipeline that falls ill in a round, and all that a round asks of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import numpy as np
import pandas as pd

from perennial.demo.client import Client
from perennial.registry import HistoryEntry, State, declare, read_history, read_state
from perennial.store import layout
from tests.e2e.rollouts import Stack, until

WINDOW = 60
HISTORY = 2 * WINDOW
ILL = 6 * WINDOW
"""Rows of the changed world that a round begins with: the monitor confirms from them, and a new
model learns from no others."""
TRICKLE = 55
"""Rows that come during the heal, at most: less than a window."""
PAUSE = 0.1
MONITOR, RETRAIN, ROLLOUT = HEALING = ("monitor/monitor", "retrain/retrain", "rollout/rollout")

_DECLARATION = """\
name: {name}
task: regression
source: {{uri: data.csv}}
target: y
model: {{estimators: [linear], time_budget: 10s}}
monitor: {{schedule: null, window: {window} rows}}
policy: {{cooldown: 1000}}
gates: {{latency_ms: null}}
rollout:
  shadow: {{rows: 10, time: 2s}}
  canary: {{weights: [0.5], rows: 10, time: 2s}}
  bake: {{rows: 10, time: 2s}}
  labels: 10
  inconclusive: promote
  guardrails: {{latency: null, shift: null, sample_ratio: null}}
"""


def world(rows: int, carrier: str, seed: int) -> pd.DataFrame:
    """Rows whose truth is three times ``x`` or ``z``, a level of ``c``, and noise.

    Where another feature carries it no small head on the old model comes near a new one: what the
    gate says of the heal is no matter of luck.
    """
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({name: rng.normal(size=rows) for name in ("x", "z")})
    frame["c"] = rng.choice(["a", "b"], rows)
    levels = np.where(frame["c"] == "a", 0.0, 2.0)
    return frame.assign(y=3 * frame[carrier] + levels + rng.normal(0, 0.5, rows))


class Patient:
    """One pipeline: its first version learned a world that has changed since."""

    def __init__(self, stack: Stack, name: str, seed: int) -> None:
        self.stack, self.name, self.store = stack, name, stack.store
        self._seed = seed
        self.folder = stack.directory.parent / "pipelines" / name
        self.folder.mkdir(parents=True)
        (self.folder / "pipeline.yaml").write_text(_DECLARATION.format(name=name, window=WINDOW))
        world(HISTORY, "x", seed).to_csv(self.folder / "data.csv", index=False)
        declare(self.store, self.folder)
        self.client, self._onlooker = (
            Client(str(stack.settings.server_url), name)
            for _ in range(2)  # one a thread
        )
        self.answered: dict[str, str] = {}
        """Version by id."""
        self.labelled: set[str] = set()
        self._over = threading.Event()
        self.first = "nobody"

    def learn(self) -> None:
        """Have a first version answer."""
        self.start(RETRAIN, reason="the first version")
        until(lambda: self.state.champion is not None and self.state.stage == "idle", 90)
        self.first = str(self.state.champion)
        until(lambda: self.served(self.first))

    def served(self, version: str) -> bool:
        """Whether the server answers with a version by now."""
        return self._onlooker.serves(version)

    def close(self) -> None:
        """Let the connections go."""
        self.client.close()
        self._onlooker.close()

    @property
    def state(self) -> State:
        return read_state(self.store, self.name).state

    @property
    def history(self) -> list[HistoryEntry]:
        return list(read_history(self.store, self.name))

    def start(self, deployment: str, *, clock: float = 0.0, **parameters: Any) -> str:
        """Start a deployment for this pipeline, with a clock that is wrong by so many seconds."""
        return start(self.stack, deployment, {"pipeline": self.name, **parameters}, clock)

    def fall_ill(self) -> None:
        """Ask rows of the changed world, in batches, and tell their truth."""
        frame = world(ILL, "z", self._seed + 1)
        for low in range(0, ILL, 50):
            self._send(frame.iloc[low : low + 50], f"{self.name}-ill-{low}")
        self.await_log()

    def _send(self, frame: pd.DataFrame, tag: str) -> None:
        rows = frame[["x", "z", "c"]].to_dict("records")
        ids = [f"{tag}-{n}" for n in range(len(rows))]
        status, answer = self.client._post(":predict", {"rows": rows, "ids": ids})
        assert status == 200, answer
        self.answered |= dict.fromkeys(ids, "")
        self.client.feedback(list(zip(ids, frame["y"].tolist(), strict=True)))
        self.labelled |= set(ids)

    @contextmanager
    def asked(self) -> Iterator[None]:
        """One row after the other, each with its truth, while the block lasts."""
        self._over.clear()
        failed: list[BaseException] = []

        def ask() -> None:
            frame = world(TRICKLE, "z", self._seed + 2)
            try:
                for number in range(TRICKLE):
                    if self._over.wait(PAUSE):
                        break
                    self._send(frame.iloc[number : number + 1], f"{self.name}-row-{number}")
            except BaseException as error:
                failed.append(error)

        thread = threading.Thread(target=ask)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()
        if failed:
            raise failed[0]

    def await_log(self) -> None:
        """Wait until the store holds what was asked and told."""
        from perennial.datasets.log_reader import list_segments

        def arrived() -> bool:
            return all(
                sum(s.rows for s in list_segments(self.store, prefix)) >= rows
                for prefix, rows in (
                    (layout.prediction_log(self.name), len(self.answered)),
                    (layout.feedback_log(self.name), len(self.labelled)),
                )
            )

        until(arrived, 90)

    def causes(self) -> list[str]:
        """Keys of the checks that asked for a heal."""
        return [key for key in self._checks() if '"action": "heal"' in self._text(key)]

    def _checks(self) -> list[str]:
        return [info.key for info in self.store.scan(layout.checks(self.name))]

    def _text(self, key: str) -> str:
        return self.store.get(key).data.decode()

    def runs(self, *deployments: str) -> list[dict[str, Any]]:
        """The newest runs for this pipeline: of some deployments, or of all that a heal needs.

        By their parameters: a run has its name only once it runs.
        """
        ids = [self.stack.deployments._id(name) for name in deployments or HEALING]
        asked = {
            "flow_runs": {"deployment_id": {"any_": ids}},
            "sort": "EXPECTED_START_TIME_DESC",
        }
        found = call(self.stack, "/flow_runs/filter", asked)
        return [r for r in found if r["parameters"].get("pipeline") == self.name]


def start(stack: Stack, deployment: str, parameters: dict[str, Any], clock: float = 0.0) -> str:
    """Start a deployment; `clock` as in `Patient.start`."""
    if not clock:
        return stack.deployments.start(deployment, parameters)
    found = stack.deployments._id(deployment)
    variables = {"env": {"PERENNIAL_CLOCK_OFFSET": str(clock)}}
    body = {
        "parameters": parameters,
        "state": {"type": "SCHEDULED", "name": "Scheduled"},
        "job_variables": variables,
    }
    return str(call(stack, f"/deployments/{found}/create_flow_run", body)["id"])


def call(stack: Stack, path: str, body: Any, method: str = "POST") -> Any:
    """Ask Prefect's API, patiently: its server may be on its way up."""
    deadline = time.monotonic() + 60
    while True:
        try:
            answer = httpx.request(
                method, f"{stack.settings.prefect_address}{path}", json=body, timeout=10
            )
            if answer.status_code < 500:
                return answer.raise_for_status().json() if answer.content else None
        except httpx.TransportError:
            pass
        assert time.monotonic() < deadline, f"{path} is not answered"
        time.sleep(0.3)
