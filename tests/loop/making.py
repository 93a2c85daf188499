"""A pipeline in memory: its rows, its snapshots, and the way from rows to a version."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd

from perennial.datasets.snapshot import Snapshot
from perennial.errors import NotFound
from perennial.evaluation.division import Division
from perennial.evaluation.mixing import Mixture
from perennial.loop.candidate import Candidate, make_candidate
from perennial.loop.gate import Judgement, judge_candidate
from perennial.loop.gathered import Gathered
from perennial.loop.recipe import Learned, divide_rows
from perennial.loop.registration import Provenance, register_candidate
from perennial.loop.request import RetrainRequest
from perennial.loop.sound import fix_rows, learn_first
from perennial.loop.versions import Champion, find_champion
from perennial.registry import Declaration, Manifest, change_state, new_entry
from perennial.spec import Depth, PipelineSpec
from perennial.store import acquire_lease
from perennial.store.memory import MemoryStore
from perennial.validation.suites import need_suite

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def spec(**changes: Any) -> PipelineSpec:
    """A pipeline of quick models and short windows."""
    return PipelineSpec.model_validate(
        {
            "name": "p",
            "task": "regression",
            "source": {"uri": "p.csv"},
            "target": "y",
            "model": {"estimators": ["hist_gradient_boosting"]},
            "monitor": {"window": "40 rows"},
            **changes,
        }
    )


def stream(rows: int, *, slope: float = 3.0, shift: float = 0.0, seed: int = 0) -> pd.DataFrame:
    """Rows whose target follows x and a class, with noise."""
    rng = np.random.default_rng(seed)
    x, c = rng.normal(size=rows), rng.choice(["a", "b"], rows)
    y = slope * x + (c == "a") + shift + 0.5 * rng.normal(size=rows)
    return pd.DataFrame({"x": x, "c": c, "y": y})


def joined(*parts: pd.DataFrame) -> pd.DataFrame:
    """Rows one after the other."""
    return pd.concat(parts, ignore_index=True)


class MemorySnapshots:
    """Keeps frames as they are; see `perennial.datasets.snapshot.Snapshots`."""

    def __init__(self) -> None:
        self.frames: dict[str, pd.DataFrame] = {}

    def rows(self, sha256: str) -> pd.DataFrame:
        if sha256 not in self.frames:
            raise NotFound(sha256)
        return self.frames[sha256]

    def take(
        self, frame: pd.DataFrame, *, source: str, source_rows: int, from_source: int
    ) -> Snapshot:
        name = f"{len(self.frames):064d}"
        self.frames[name] = frame
        return Snapshot(
            sha256=name,
            pipeline="p",
            file=name,
            rows=len(frame),
            columns={},
            source=source,
            source_rows=source_rows,
            from_source=from_source,
            created_at=NOW,
        )


@dataclass
class Pipeline:
    """A pipeline that keeps its record in memory."""

    spec: PipelineSpec = field(default_factory=spec)
    store: MemoryStore = field(default_factory=MemoryStore)
    snapshots: MemorySnapshots = field(default_factory=MemorySnapshots)

    @property
    def declaration(self) -> Declaration:
        return Declaration(spec=self.spec)

    @property
    def champion(self) -> Champion | None:
        return find_champion(self.store, "p")

    def fix(self, frame: pd.DataFrame) -> Snapshot:
        """Sort the rows out, and keep what is sound."""
        learn_first(self.store, frame, self.spec)
        suite = need_suite(self.store, self.declaration)
        nothing = frame.iloc[:0]
        gathered = Gathered(frame, nothing, len(frame), self.spec)
        return fix_rows(self.store, self.snapshots, gathered, suite).snapshot

    def divide(self, snapshot: Snapshot, depth: Depth = "retrain") -> Division:
        """Divide the rows by what the champion knows."""
        champion = self.champion
        learned = None if champion is None else Learned.of(champion, self.snapshots)
        frame = self.snapshots.rows(snapshot.sha256)
        return divide_rows(frame, self.spec, depth, champion, learned)

    def make(
        self, snapshot: Snapshot, depth: Depth = "retrain", mixture: Mixture | None = None
    ) -> Candidate:
        """Make a candidate of a snapshot."""
        return make_candidate(
            self.snapshots.rows(snapshot.sha256),
            self.spec,
            self.divide(snapshot, depth),
            self.champion,
            depth=depth,
            mixture=mixture,
        )

    def judge(self, candidate: Candidate) -> Judgement:
        return judge_candidate(candidate, self.spec, self.champion)

    def register(
        self, snapshot: Snapshot, candidate: Candidate, judgement: Judgement, cause: Any = None
    ) -> Manifest:
        """Register a candidate and let it answer."""
        lease = acquire_lease(self.store, "p", "test")
        order = Provenance(self.declaration, snapshot.sha256, request(candidate.depth, cause))
        made = register_candidate(self.store, lease, order, candidate, judgement)
        lease.release()
        change_state(
            self.store,
            "p",
            lambda state: state.model_copy(
                update={"champion": made.version, "challenger": None, "stage": "idle"}
            ),
            new_entry("rollout.promoted", reason="so", by="test", version=made.version),
        )
        return made

    def renew(
        self, frame: pd.DataFrame, depth: Depth = "retrain", mixture: Mixture | None = None
    ) -> Manifest:
        """The whole way, whatever the gate says."""
        snapshot = self.fix(frame)
        candidate = self.make(snapshot, depth, mixture)
        return self.register(snapshot, candidate, self.judge(candidate))


def request(depth: Depth = "retrain", cause: str | None = None) -> RetrainRequest:
    """Somebody asks."""
    return RetrainRequest(
        reason="a test", cause=cause, run="a run", started_at=NOW, depth=depth, span=None
    )
