"""Challengers on the real stack, under load: a good one, and five with a flaw each.

The champion was trained on a fifth of the first fifth of a stream, the good challenger on the
whole first fifth; both by the retrain flow, through its gate. The flawed ones are the good one with
nodes behind its output, put straight into the store. What follows in the stream is live: the rows
are sent one a request, their truth some requests later. Everything ends with a verdict or with a
number of requests; no verdict waits for a time to be over, so none depends on how fast the machine
is.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks.rollout.flaws import Category, flawed, shift_at_gate
from benchmarks.rollout.traffic import Driven, Traffic
from benchmarks.versions import put_version
from perennial.demo.plan import Plan, json_value, make_plan
from perennial.demo.prefect_client import Deployments
from perennial.errors import StackError
from perennial.local import ensure_up, stop
from perennial.registry import (
    State,
    change_state,
    new_entry,
    next_version,
    read_file,
    read_history,
    read_manifest,
    read_signature,
    read_state,
)
from perennial.registry.manifest import MODEL_FILE
from perennial.rollout.stages import challenge, in_flight
from perennial.settings import Settings
from perennial.spec import load_spec
from perennial.store import Store, acquire_lease, open_store

PROJECT = Path(__file__).resolve().parents[2]
MOST = 200_000
"""Requests after which a challenger has no verdict, and the bench ends."""
PAUSE = 0.005
"""Seconds that each of the clients waits after an answer, so that a rollout sees its stages."""
LIVE_ROWS = 20_000
"""Rows of the stream that are sent; behind the last comes the first again."""
GATE_ROWS = 1000
"""Rows before the live ones by which a flawed challenger has passed a gate."""
_RETRAIN_TIMEOUT = 300.0
_VERDICTS = {"rollout.finished": "promoted", "rollout.rolled_back": "rolled back"}
_DAY = "1d"
STAGES = {
    "shadow": {"rows": 200, "time": _DAY},
    "canary": {"weights": [0.1, 0.5], "rows": 100, "time": _DAY},
    "bake": {"rows": 500, "time": _DAY},
}


@dataclass(frozen=True)
class Stream:
    """A pipeline of data/, and the category on which challengers fail or are biased: a feature and
    a value that some 8% of the rows hold."""

    name: str
    category: Category


STREAMS = (Stream("bike", ("weathersit", 3.0)), Stream("flights", ("carrier", "MQ")))


@dataclass(frozen=True)
class Verdict:
    """What became of a challenger."""

    stream: str
    challenger: str
    wanted: str
    verdict: str
    stage: str
    """In which the verdict fell."""
    reason: str
    loss: float | None
    """Its loss against the champion's on the rows it was judged by, as a share of it."""
    requests: int
    answered: float
    """Share of them that the challenger answered."""
    failed: int
    seconds: float


class Stage:
    """One stream on a stack that is up.

    Args:
        directory: for the stream's declaration and history.
    """

    def __init__(self, stream: Stream, settings: Settings, directory: Path) -> None:
        self._stream = stream
        self._settings = settings
        self._store: Store = open_store(settings)
        self._plan: Plan = make_plan(PROJECT / "data" / stream.name, directory, windows=None)
        self._deployments = Deployments(str(settings.prefect_address))
        self._live = self._read_live()
        self._declare()

    def play(self, tell: Callable[[Verdict], None]) -> list[Verdict]:
        """Try all challengers in turn."""
        first = self._plan.cut.first
        self._train(first // 5)
        self._await_champion()
        verdicts = [self._try("good", "promoted", lambda: self._train(first))]
        tell(verdicts[-1])
        for name, model in self._flawed().items():
            verdicts.append(self._try(name, "rolled back", lambda model=model: self._put(model)))
            tell(verdicts[-1])
        self._deployments.close()
        return verdicts

    @property
    def _state(self) -> State:
        return read_state(self._store, self._stream.name).state

    def _declare(self) -> None:
        file = self._plan.folder / "pipeline.yaml"
        declared = yaml.safe_load(file.read_text(encoding="utf-8"))
        declared["rollout"] = {**STAGES, "slices": [self._stream.category[0]]}
        file.write_text(yaml.safe_dump(declared, sort_keys=False), encoding="utf-8")

    def _read_live(self) -> list[tuple[dict[str, Any], Any]]:
        frame = self._plan.frame.iloc[self._plan.cut.first :].iloc[:LIVE_ROWS]
        names = self._plan.fields
        cells = zip(*(frame[name].tolist() for name in names), strict=True)
        rows = [{n: json_value(c) for n, c in zip(names, row, strict=True)} for row in cells]
        truths = map(json_value, frame[self._plan.spec.target].tolist())
        return list(zip(rows, truths, strict=True))

    def _train(self, rows: int) -> None:
        """Train on the first rows of the stream, by the deployment."""
        history = self._plan.folder / load_spec(self._plan.folder).source.uri
        self._plan.frame.iloc[:rows].to_parquet(history, index=False)
        run = self._deployments.start("retrain/retrain", {"pipeline": str(self._plan.folder)})
        state = self._deployments.wait(run, timeout=_RETRAIN_TIMEOUT)
        if state is None or state["name"] != "Registered":
            raise StackError(f"the retrain of {self._stream.name} came to {state}")

    def _await_champion(self) -> None:
        run = self._deployments.start("rollout/rollout", {"pipeline": self._stream.name})
        self._deployments.wait(run, timeout=60)
        if self._state.champion is None:
            raise StackError(f"the first version of {self._stream.name} does not answer")

    def _put(self, model: bytes) -> None:
        """Register a challenger that nobody trained, and have its rollout begin."""
        name, store = self._stream.name, self._store
        champion = read_manifest(store, name, str(self._state.champion))
        version = next_version(store, name, model)
        signature = read_signature(store, champion)
        sound = read_file(store, champion, MODEL_FILE)
        past = self._plan.frame.iloc[: self._plan.cut.first].tail(GATE_ROWS)
        metrics = {**champion.metrics, "shift": shift_at_gate(sound, model, signature, past)}
        put_version(store, name, version, model, signature, metrics=metrics)
        rollout = load_spec(self._plan.folder).rollout
        lease = acquire_lease(store, name, "bench-rollout")
        entry = new_entry("version.registered", version=version, reason="a bench", by="a bench")
        change_state(
            store, name, lambda state: challenge(state, version, rollout), entry, fence=lease.token
        )
        lease.release()
        self._deployments.start("rollout/rollout", {"pipeline": name})

    def _try(self, name: str, wanted: str, register: Callable[[], None]) -> Verdict:
        pipeline, store = self._stream.name, self._store
        register()
        state = self._state
        challenger = state.champion if state.stage == "bake" else state.challenger
        traffic = Traffic(
            str(self._settings.server_url),
            pipeline,
            lambda number: self._live[number % len(self._live)],
            tag=str(challenger),
            pause=PAUSE,
        )
        driven = traffic.drive(self._is_over, most=MOST)
        if not driven.over:
            raise StackError(
                f"{pipeline}, {name}: no verdict after {MOST:,} requests: {self._state}"
            )
        entries = [e for e in read_history(store, pipeline) if e.version == challenger]
        last = [e for e in entries if e.event in _VERDICTS][-1]
        checks = {check["name"]: check for check in last.details.get("checks", ())}
        weight = last.details.get("weight", 0.0)
        return Verdict(
            stream=pipeline,
            challenger=name,
            wanted=wanted,
            verdict=_VERDICTS[last.event],
            stage=last.details.get("stage", "") + (f" {weight:.0%}" if weight else ""),
            reason=last.reason,
            loss=checks["loss"]["figure"] if "loss" in checks else None,
            requests=driven.sent,
            answered=_share(driven, str(challenger)),
            failed=driven.failed,
            seconds=round(driven.seconds, 1),
        )

    def _is_over(self) -> bool:
        state = self._state
        return state.challenger is None and not in_flight(state)

    def _flawed(self) -> dict[str, bytes]:
        """The champion of now with one flaw each."""
        manifest = read_manifest(self._store, self._stream.name, str(self._state.champion))
        frame, first = self._plan.frame, self._plan.cut.first
        return flawed(
            self._plan.spec,
            read_file(self._store, manifest, MODEL_FILE),
            read_signature(self._store, manifest),
            past=frame.iloc[:first],
            live=frame.iloc[first:].iloc[:LIVE_ROWS],
            category=self._stream.category,
        )


def _share(driven: Driven, version: str) -> float:
    total = sum(driven.answers.values())
    return driven.answers[version] / total if total else math.nan


def play_all(tell: Callable[[Verdict], None]) -> list[Verdict]:
    """Try all challengers on all streams, on a stack of its own."""
    with tempfile.TemporaryDirectory() as place:
        directory = Path(place)
        try:
            settings = ensure_up(directory / ".perennial").settings
            verdicts = []
            for stream in STREAMS:
                verdicts += Stage(stream, settings, directory / "streams").play(tell)
        finally:
            stop(directory / ".perennial")
    return verdicts
