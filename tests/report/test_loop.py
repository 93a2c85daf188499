"""The loop's figures from facts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from perennial.drift.decision import Decision
from perennial.drift.record import Check
from perennial.errors import StoreError
from perennial.registry import (
    Declaration,
    State,
    append_history,
    change_state,
    new_entry,
)
from perennial.registry.look import Look
from perennial.report.loop import LoopMetrics
from perennial.spec import PipelineSpec
from perennial.store import layout
from perennial.validation.quarantine import Record, Release
from tests.drift.verdicts import inputs, loss
from tests.serving.serving_models import put_version, sum_model

BEGAN = datetime(2030, 1, 1, tzinfo=UTC)
SPEC = PipelineSpec.model_validate(
    {"name": "p", "task": "regression", "source": {"uri": "d.csv"}, "target": "y"}
)


def at(seconds):
    return BEGAN + timedelta(seconds=seconds)


SHIFT = inputs("heat").features[0].model_copy(update={"aspect": "prediction", "effect": 0.4})
ALSO = SHIFT.model_copy(update={"aspect": "values", "effect": 0.9})
MOVED = inputs("heat").model_copy(update={"features": (SHIFT, ALSO)})
RISEN = loss(1.5).model_copy(update={"window": "w000004", "risen": True})


def check(store, number, action, seconds, depth=None, moved=None, losses=()):
    decision = Decision(action=action, depth=depth, ground="loss", reason="r")
    made = Check(
        window=f"w{number:06d}",
        input=moved,
        losses=losses,
        trials=(),
        pipeline="p",
        rows=50,
        champion="0001",
        decision=decision,
        at=at(seconds),
    )
    store.put_json(layout.check("p", made.window), made)
    return layout.check("p", made.window)


def change(store, event, seconds, **more):
    entry = new_entry(event, reason="r", by="test", **more)
    entry = entry.model_copy(update={"at": at(seconds), "id": f"01{seconds:024d}"})
    append_history(store, "p", entry)


@pytest.fixture
def loop(store):
    """A heal that took over, one that was refused, and one that is asked for."""
    store.put_json(layout.declaration("p"), Declaration(spec=SPEC))
    put_version(store, "p", "0002", sum_model())
    check(store, 1, "keep", 0)
    cause = check(store, 2, "heal", 10, "retrain")
    depth = {"depth": "retrain", "started_at": at(13).isoformat()}
    change(store, "version.registered", 20, version="0002", cause=cause, details=depth)
    change(store, "rollout.promoted", 50, version="0002", details={"bake": False})
    refused = check(store, 3, "heal", 60, "correct")
    change(
        store, "version.refused", 70, version="0003", cause=refused, details={"depth": "correct"}
    )
    for second in (72, 73):
        depth = {"depth": "correct"}
        change(store, "retrain.failed", second, cause=refused, details=depth)
    check(store, 4, "heal", 100, "correct", MOVED, (RISEN,))
    change_state(
        store,
        "p",
        lambda s: State.model_validate(
            {**s.model_dump(), "champion": "0002", "answered": "w000003"}
        ),
        new_entry("rollout.approved", reason="r", by="test"),
    )
    for name, kind, rows in (("s1", "rows", 7), ("w000001", "window", 50)):
        record = Record(pipeline="p", name=name, kind=kind, rows=rows, reasons=("x",), at=at(0))
        store.put_json(layout.quarantine_record("p", name), record)
    release = Release(rows=("a", "b"), why="w", by="me", at=at(0))
    store.put_json(layout.quarantine_release("p", "s1", "r1"), release)
    return LoopMetrics(store, every=0, now=lambda: at(160))


def figures(loop):
    registry = CollectorRegistry()
    registry.register(loop)
    return {
        (sample.name.removeprefix("perennial_loop_"), *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(generate_latest(registry).decode())
        for sample in family.samples
    }


def test_every_figure_is_what_the_store_tells(loop):
    seen = figures(loop)
    assert seen["seen",] == 1
    assert seen["checks_total", "p"] == 4
    assert seen["verdicts_total", "keep", "p"] == 1
    assert seen["verdicts_total", "correct", "p"] == 2
    assert seen["retrains_total", "p", "registered", "retrain"] == 1
    assert seen["retrains_total", "correct", "p", "refused"] == 1
    assert seen["retrains_total", "correct", "failed", "p"] == 2
    phases = {"start": 3, "make": 7, "rollout": 30}
    for phase, seconds in phases.items():
        assert seen["heal_seconds_count", *sorted(("p", phase))] == 1
        assert seen["heal_seconds_sum", *sorted(("p", phase))] == seconds
    assert seen["unanswered_seconds", "p"] == 60
    assert seen["quarantine_rows", "p"] == 7 - 2
    assert seen["held_windows", "p"] == 1
    assert seen["prediction_shift", "p"] == 0.4
    assert seen["shifted_features", "p"] == 2
    assert seen["loss_ratio", "p"] == 1.5
    assert ("champion_age_seconds", "0002", "p") in seen
    # Of the seven windows that are declared two have passed. That a head was refused is no matter.
    assert seen["budget_wait_windows", "p"] == 7 - 2


@pytest.mark.parametrize(
    ("failed", "seconds", "windows"),
    [(1, 1.0, 14), (1, 30_000.0, 49), (3, 1.0, 56)],
)
def test_the_wait_is_that_of_the_policy(store, loop, failed, seconds, windows):
    """Ten minutes a window pay for what a model takes, and failures in a row double the wait."""
    details = {"depth": "retrain", "cpu_seconds": seconds}
    for number in range(failed):
        change(
            store,
            "version.refused",
            110 + number,
            version=f"1{number}",
            cause=layout.check("p", "w000002"),
            details=details,
        )
    assert figures(loop)["budget_wait_windows", "p"] == windows - 2


def test_a_fact_is_counted_once_and_a_new_one_is_added(store, loop):
    figures(loop)
    assert figures(loop)["checks_total", "p"] == 4
    check(store, 5, "keep", 120)
    assert figures(loop)["checks_total", "p"] == 5


def test_what_fails_in_a_row_is_a_figure(store, loop):
    seen = figures(loop)
    assert (seen["failed_retrains", "p"], seen["failed_looks", "p"]) == (2, 0)
    assert seen["missed_looks", "p"] == 0
    look = Look(at=at(160 - 1.5 * 3600), failures=3, reason="r", failing_since=at(-99_999))
    store.put_json(layout.look("p"), look)
    seen = figures(loop)
    assert seen["failed_looks", "p"] == 3
    assert seen["missed_looks", "p"] == 2


def test_a_pipeline_that_is_damaged_leaves_the_others_figures(store, loop):
    spec = SPEC.model_copy(update={"name": "q"})
    store.put_json(layout.declaration("q"), Declaration(spec=spec))
    store.put(layout.state("q"), b"{")
    store.put(layout.declaration("r"), b"[]")
    seen = figures(loop)
    assert seen["seen",] == 1
    assert [seen["damaged", name] for name in "pqr"] == [0, 1, 1]
    assert seen["checks_total", "p"] == 4
    assert ("failed_retrains", "q") not in seen
    store.delete(layout.state("q"))
    assert figures(loop)["damaged", "q"] == 0


def test_a_store_that_is_away_is_said(store, loop, monkeypatch):
    def away(*_):
        raise StoreError("away")

    monkeypatch.setattr(store, "folders", away)
    assert figures(loop) == {("seen",): 0}
