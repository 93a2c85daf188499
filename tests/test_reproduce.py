"""A first version and mixtures that go on from it are made again from the store alone."""

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
from perennial.registry.manifest import (
    BASE_FILES,
    ENVIRONMENT_FILE,
    MODEL_FILE,
    SIGNATURE_FILE,
    SPEC_FILE,
)
from perennial.registry.sweep import plan_sweep, sweep
from perennial.reproduce import reproduce
from perennial.spec import PipelineSpec, Retention
from perennial.store import Store, acquire_lease
from perennial.store.lease import utc_now
from perennial.training.mixture import MixedModel, fit_on
from perennial.training.train import fit, refit

SPEC = PipelineSpec.model_validate(
    {
        "name": "p",
        "task": "regression",
        "source": {"uri": "p.csv"},
        "target": "y",
        "model": {"estimators": ["hist_gradient_boosting", "linear"], "seed": 3},
    }
)
FIRST, RETRAINED, CORRECTED = "0001-first", "0002-retrained", "0003-corrected"
SHARES = Mixture(first=0.1, recent=0.3, all=0.2, correct=0.4)
HELD = 50


def rows(n: int, shift: float) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=n), "c": rng.choice(["a", "b"], n)})
    return frame.assign(y=np.sin(3 * frame["x"]) + shift + rng.normal(0, 0.3, n))


def write(
    store: Store,
    version: str,
    model: bytes,
    signature: bytes,
    others: dict[str, bytes] | None = None,
    **lineage: object,
) -> None:
    environment = describe_environment()
    files = {
        MODEL_FILE: model,
        SIGNATURE_FILE: signature,
        SPEC_FILE: SPEC.model_dump_json().encode(),
        ENVIRONMENT_FILE: environment.model_dump_json().encode(),
        **(others or {}),
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
    """A first version, one that trained others beside it, and one that stands on both."""
    old = rows(600, 0.0)
    fitted = fit(old, SPEC, "hist_gradient_boosting", rounds=20)
    first = Packaged(export(fitted.model, fitted.signature), fitted.signature)
    recipe = Recipe(
        rounds=20,
        trained_rows=600,
        bases={"first": 600},
        trial_rows=600 - HELD,
        judged_rows=HELD,
    )
    signature = first.signature.model_dump_json().encode()
    write(store, FIRST, first.graph, signature, snapshot=snapshot(store, old), recipe=recipe)
    new = pd.concat([old, rows(300, 2.0)], ignore_index=True)
    bases = {"first": first}
    for name, count in (("recent", 600), ("all", 850)):
        other = refit(
            new[:-HELD],
            SPEC,
            first.signature,
            "hist_gradient_boosting",
            rows=count,
            rounds=20,
        )
        bases[name] = Packaged(export(other.model, other.signature), other.signature)
    taken = snapshot(store, new)
    recipe = Recipe(
        rounds=20,
        trained_rows=850,
        bases={"recent": 600, "all": 850},
        head_rows=300,
        trial_rows=850,
        judged_rows=HELD,
        shares=SHARES.parts,
    )
    retrained = MixedModel(bases, fit_on(new[-300:], SPEC, first), SHARES).packaged.graph
    others = {BASE_FILES[name]: bases[name].graph for name in ("recent", "all")}
    write(
        store, RETRAINED, retrained, signature, others,
        snapshot=taken, recipe=recipe, bases={"first": FIRST},
    )  # fmt: skip
    corrected = MixedModel(bases, fit_on(new[-200:], SPEC, first), SHARES).packaged.graph
    recipe = recipe.model_copy(update={"bases": {}, "head_rows": 200, "trained_rows": 200})
    stands = {"first": FIRST, "recent": RETRAINED, "all": RETRAINED}
    write(
        store, CORRECTED, corrected, signature,
        snapshot=taken, recipe=recipe, depth="correct", bases=stands,
    )  # fmt: skip
    return store


@pytest.mark.parametrize("version", [FIRST, RETRAINED, CORRECTED])
def test_the_same_bytes_come_out(registered: Store, version: str) -> None:
    result = reproduce(registered, read_manifest(registered, "p", version))
    assert (result.identical, result.differences) == (True, ())


def test_another_release_of_a_library_is_named(registered: Store) -> None:
    manifest = read_manifest(registered, "p", FIRST)
    told = json.loads(read_file(registered, manifest, ENVIRONMENT_FILE))
    told["distributions"]["numpy"] = "0.1"
    entry = write_file(registered, "p", FIRST, ENVIRONMENT_FILE, json.dumps(told).encode())
    older = manifest.model_copy(update={"files": {**manifest.files, ENVIRONMENT_FILE: entry}})
    (difference,) = reproduce(registered, older).differences
    assert (difference.input, difference.then) == ("environment, numpy", "0.1")


@pytest.mark.parametrize(
    ("version", "update"),
    [
        (FIRST, {"rounds": 19}),
        (RETRAINED, {"bases": {"recent": 500, "all": 850}}),
        (RETRAINED, {"judged_rows": HELD - 1}),
        (RETRAINED, {"shares": Mixture.equal().parts}),
        (CORRECTED, {"head_rows": 150}),
    ],
)
def test_other_rows_or_shares_give_other_bytes(
    registered: Store, version: str, update: dict[str, Any]
) -> None:
    manifest = read_manifest(registered, "p", version)
    recipe = manifest.lineage.recipe.model_copy(update=update)
    changed = manifest.model_copy(
        update={"lineage": manifest.lineage.model_copy(update={"recipe": recipe})}
    )
    result = reproduce(registered, changed)
    assert not result.identical
    assert result.again is not None


def test_what_a_mixture_stands_on_stays_as_long_as_the_mixture(registered: Store) -> None:
    strict, later = Retention(champions=1, others=timedelta(0)), utc_now() + timedelta(days=2)
    entry = new_entry("rollout.promoted", reason="so", by="test")
    plan = plan_sweep(registered, "p", strict, now=later)
    assert set(plan.versions) == {FIRST, RETRAINED, CORRECTED}
    change_state(registered, "p", lambda s: s.model_copy(update={"champion": CORRECTED}), entry)
    # The plan is older than the promotion: all are spared.
    sweep(registered, plan, acquire_lease(registered, "p", "gc"), by="gc")
    assert read_signature(registered, read_manifest(registered, "p", CORRECTED)).target == "y"
    assert reproduce(registered, read_manifest(registered, "p", CORRECTED)).identical
    assert plan_sweep(registered, "p", strict, now=later).kept == {
        CORRECTED: "champion",
        FIRST: f"{CORRECTED} stands on it",
        RETRAINED: f"{CORRECTED} stands on it",
    }
