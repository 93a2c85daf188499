"""Two versions are compared on rows that neither has learned from, or not at all."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from benchmarks.versions import LINEAGE, RUNTIME
from perennial.contest import hold_contest
from perennial.datasets.snapshot import take_snapshot
from perennial.packaging.export import export
from perennial.registry import Declaration, Manifest, Recipe, write_file
from perennial.registry.manifest import MODEL_FILE, SIGNATURE_FILE
from perennial.spec import PipelineSpec
from perennial.store import layout
from perennial.store.lease import utc_now
from perennial.training.train import train

SPEC = PipelineSpec.model_validate(
    {
        "name": "line",
        "task": "regression",
        "source": {"uri": "data.csv"},
        "target": "y",
        "time": "at",
        "model": {"estimators": ["linear"]},
    }
)


def stream(rows: int) -> pd.DataFrame:
    """Its slope turns after 300 rows."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=rows)
    slope = np.where(np.arange(rows) < 300, 3.0, -3.0)
    at = pd.Timestamp("2026-01-01") + pd.to_timedelta(np.arange(rows), unit="h")
    return pd.DataFrame({"at": at, "x": x, "y": slope * x + rng.normal(size=rows)})


def put(store, number: int, rows: pd.DataFrame) -> Manifest:
    """A version of a snapshot, all of which it knows, trained on the newest rows."""
    snapshot = take_snapshot(
        store, "line", rows, source="data.csv", source_rows=len(rows), from_source=len(rows)
    )
    trained = train(rows.iloc[-200:], SPEC)
    version = f"000{number}-abcdef12"
    content = {
        MODEL_FILE: export(trained.model, trained.signature),
        SIGNATURE_FILE: trained.signature.model_dump_json().encode(),
    }
    files = {n: write_file(store, "line", version, n, d) for n, d in content.items()}
    manifest = Manifest(
        pipeline="line",
        version=version,
        task="regression",
        created_at=utc_now(),
        fence=1,
        files=files,
        lineage=LINEAGE.model_copy(
            update={
                "snapshot": snapshot.sha256,
                "recipe": Recipe(trained_rows=200, trial_rows=170, judged_rows=30),
            }
        ),
        runtime=RUNTIME,
    )
    store.put_json(layout.manifest("line", version), manifest)
    return manifest


@pytest.fixture
def line(store):
    store.put_json(layout.declaration("line"), Declaration(spec=SPEC))
    return store


def test_the_rows_are_those_that_neither_knows_and_the_better_one_is_told(line):
    all_rows = stream(650)
    old = put(line, 1, all_rows[:300])
    new = put(line, 2, all_rows[:600])
    put(line, 3, all_rows)
    found = hold_contest(line, old, new)
    assert (found.rows, found.reason) == (50, None)
    rows = all_rows.iloc[-50:]
    assert (found.first, found.last) == (rows["at"].iloc[0], rows["at"].iloc[-1])
    assert found.right_score < 2 < found.left_score
    assert found.low < found.change < found.high < -0.5
    back = hold_contest(line, new, old)
    assert (back.rows, back.left_score) == (50, found.right_score)
    assert back.change > 1


def test_where_one_has_learned_all_rows_it_is_said_that_they_cannot_be_compared(line):
    old = put(line, 1, stream(300))
    new = put(line, 2, stream(600))
    found = hold_contest(line, old, new)
    assert (found.rows, found.change) == (0, None)
    assert found.reason == (
        "the store has 0 labelled rows that neither has learned from, 10 are needed: wait for "
        "labels"
    )


def test_a_snapshot_that_is_gone_is_no_crash(line):
    old = put(line, 1, stream(300))
    line.delete(layout.snapshot("line", old.lineage.snapshot))
    assert hold_contest(line, old, old).reason.startswith("rows are gone: ")
