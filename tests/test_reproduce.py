"""A trained version and one with a head on it are made again from the store alone."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmarks.versions import RUNTIME
from perennial.datasets.snapshot import take_snapshot
from perennial.evaluation.mixing import Mixture
from perennial.packaging.export import export
from perennial.packaging.predictor import Packaged
from perennial.registry import (
    Lineage,
    Manifest,
    Recipe,
    change_state,
    describe_environment,
    new_entry,
    read_file,
    read_manifest,
    read_signature,
    register,
    write_file,
)
from perennial.registry.environment import source_sha256
from perennial.registry.manifest import ENVIRONMENT_FILE, MODEL_FILE, SIGNATURE_FILE, SPEC_FILE
from perennial.registry.sweep import plan_sweep, sweep
from perennial.reproduce import reproduce
from perennial.spec import PipelineSpec, Retention
from perennial.store import Store, acquire_lease
from perennial.store.lease import utc_now
from perennial.training.heads.heal import heal
from perennial.training.train import fit

SPEC = PipelineSpec.model_validate(
    {
        "name": "p",
        "task": "regression",
        "source": {"uri": "p.csv"},
        "target": "y",
        "model": {"estimators": ["hist_gradient_boosting", "linear"], "seed": 3},
    }
)
BASE, HEADED = "0001-base", "0002-head"
HELD = 50


def rows(n: int, shift: float) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=n), "c": rng.choice(["a", "b"], n)})
    return frame.assign(y=np.sin(3 * frame["x"]) + shift + rng.normal(0, 0.3, n))


def write(store: Store, version: str, model: bytes, signature: bytes, **lineage: object) -> None:
    environment = describe_environment()
    files = {
        MODEL_FILE: model,
        SIGNATURE_FILE: signature,
        SPEC_FILE: SPEC.model_dump_json().encode(),
        ENVIRONMENT_FILE: environment.model_dump_json().encode(),
    }
    entries = {name: write_file(store, "p", version, name, data) for name, data in files.items()}
    made = Lineage(
        spec="0", code="0", sources=source_sha256(), environment=environment.shaping,
        lock="0", threads=1, seed=3,
        parent=None, reason="a test", cause=None, run="a run",
        estimator="hist_gradient_boosting", **lineage,
    )  # fmt: skip
    manifest = Manifest(
        pipeline="p",
        version=version,
        task="regression",
        created_at=utc_now(),
        fence=1,
        files=entries,
        lineage=made,
        runtime=RUNTIME,
    )
    lease = acquire_lease(store, "p", "a run")
    register(store, lease, manifest)
    lease.release()


def snapshot(store: Store, frame: pd.DataFrame) -> str:
    count = len(frame)
    taken = take_snapshot(store, "p", frame, source="p", source_rows=count, from_source=count)
    return taken.sha256


@pytest.fixture
def registered(store: Store) -> Store:
    """A version that was trained, and one that puts a head on it."""
    old = rows(600, 0.0)
    fitted = fit(old, SPEC, "hist_gradient_boosting", rounds=20, half_life=200)
    base = Packaged(export(fitted.model, fitted.signature), fitted.signature)
    recipe = Recipe(
        rounds=20, trained_rows=600, half_life=200, trial_rows=600 - HELD, judged_rows=HELD
    )
    signature = base.signature.model_dump_json().encode()
    write(store, BASE, base.graph, signature, snapshot=snapshot(store, old), recipe=recipe)
    new = pd.concat([old, rows(300, 2.0)], ignore_index=True)
    healed = heal(new.iloc[-300:], SPEC, base, Mixture(correct=1.0)).packaged.graph
    recipe = Recipe(
        trained_rows=300, trial_rows=300 - HELD, judged_rows=HELD, shares={"correct": 1.0}
    )
    head = {"snapshot": snapshot(store, new), "recipe": recipe, "depth": "correct", "base": BASE}
    write(store, HEADED, healed, signature, **head)
    return store


@pytest.mark.parametrize("version", [BASE, HEADED])
def test_the_same_bytes_come_out(registered: Store, version: str) -> None:
    result = reproduce(registered, read_manifest(registered, "p", version))
    assert (result.identical, result.differences) == (True, ())


def test_another_release_of_a_library_is_named(registered: Store) -> None:
    manifest = read_manifest(registered, "p", BASE)
    told = json.loads(read_file(registered, manifest, ENVIRONMENT_FILE))
    told["distributions"]["numpy"] = "0.1"
    entry = write_file(registered, "p", BASE, ENVIRONMENT_FILE, json.dumps(told).encode())
    older = manifest.model_copy(update={"files": {**manifest.files, ENVIRONMENT_FILE: entry}})
    (difference,) = reproduce(registered, older).differences
    assert (difference.input, difference.then) == ("environment, numpy", "0.1")


@pytest.mark.parametrize("update", [{"trained_rows": 400}, {"half_life": None}, {"rounds": 19}])
def test_other_rows_or_weights_give_other_bytes(registered: Store, update: dict[str, Any]) -> None:
    manifest = read_manifest(registered, "p", BASE)
    recipe = manifest.lineage.recipe.model_copy(update=update)
    changed = manifest.model_copy(
        update={"lineage": manifest.lineage.model_copy(update={"recipe": recipe})}
    )
    result = reproduce(registered, changed)
    assert not result.identical
    assert result.again is not None


def test_what_a_head_stands_on_stays_as_long_as_the_head(registered: Store) -> None:
    strict, later = Retention(champions=1, others=timedelta(0)), utc_now() + timedelta(days=2)
    entry = new_entry("rollout.promoted", reason="so", by="test")
    plan = plan_sweep(registered, "p", strict, now=later)
    assert set(plan.versions) == {BASE, HEADED}
    change_state(registered, "p", lambda s: s.model_copy(update={"champion": HEADED}), entry)
    # The plan is older than the promotion: both are spared.
    sweep(registered, plan, acquire_lease(registered, "p", "gc"), by="gc")
    assert read_signature(registered, read_manifest(registered, "p", HEADED)).target == "y"
    assert reproduce(registered, read_manifest(registered, "p", HEADED)).identical
    assert plan_sweep(registered, "p", strict, now=later).kept == {
        HEADED: "champion",
        BASE: f"{HEADED} stands on it",
    }
