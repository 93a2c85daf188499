"""A judged candidate becomes a version or is kept refused, and what asked for it is answered."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from perennial.errors import LeaseLost, RegistryError
from perennial.loop.registration import (
    Provenance,
    is_answered,
    refuse_candidate,
    refuse_untried,
    register_candidate,
)
from perennial.loop.versions import read_judged
from perennial.registry import (
    change_state,
    find_refused,
    is_retrain,
    list_versions,
    measured_costs,
    new_entry,
    read_file,
    read_history,
    read_state,
)
from perennial.registry.manifest import GATE_FILE, METRICS_FILE, REFERENCE_FILE, TRIAL_FILE
from perennial.store import acquire_lease, layout
from tests.loop.making import NOW, Pipeline, request, stream

CAUSE = layout.check("p", "w000007")


@pytest.fixture
def made():
    pipeline = Pipeline()
    snapshot = pipeline.fix(stream(300))
    candidate = pipeline.make(snapshot)
    judgement = pipeline.judge(candidate)
    order = Provenance(pipeline.declaration, snapshot.sha256, request(cause=CAUSE))
    return pipeline.store, order, candidate, judgement


def test_a_version_has_all_that_it_was_made_of(made):
    store, order, candidate, judgement = made
    lease = acquire_lease(store, "p", "test")
    manifest = register_candidate(
        store,
        lease,
        order,
        candidate,
        judgement,
        pages=lambda manifest: {"model.md": manifest.version.encode()},
        clock=lambda: NOW,
    )
    (read,) = list_versions(store, "p")
    assert read == manifest.model_copy(update={"signature": None})
    assert (read.lineage.recipe, read.created_at) == (candidate.recipe, NOW)
    assert json.loads(read_file(store, read, METRICS_FILE)) == read.metrics
    assert json.loads(read_file(store, read, GATE_FILE))["passed"]
    assert read_file(store, read, "model.md").decode() == read.version
    assert len(read_file(store, read, REFERENCE_FILE)) > 0
    assert read_file(store, read, TRIAL_FILE) == candidate.kept.graph
    judged = read_judged(store, read)
    assert judged.output.tolist() == judgement.answered.output.tolist()
    assert judged.y.tolist() == candidate.rows.to_judge["y"].tolist()
    state = read_state(store, "p").state
    assert (state.challenger, state.stage) == (read.version, "registered")
    assert state.answered == "w000007"
    (entry,) = read_history(store, "p")
    assert is_retrain(entry)
    assert entry.at == NOW
    assert entry.details["trained_rows"] == 300
    assert measured_costs([entry]).retrain == entry.details["cpu_seconds"] > 0


def test_a_refused_candidate_is_kept_for_its_time_and_its_window_is_answered(made):
    store, order, candidate, judgement = made
    lease = acquire_lease(store, "p", "test")
    kept = refuse_candidate(store, lease, order, candidate, judgement, clock=lambda: NOW)
    assert list_versions(store, "p") == []
    found = find_refused(store, "p", kept.version)
    assert found.reason == judgement.decision.reason
    assert found.keep_until - NOW == order.declaration.spec.gates.keep_refused > timedelta(0)
    state = read_state(store, "p").state
    assert (state.challenger, state.answered) == (None, "w000007")
    assert is_answered(store, "p", request(cause=CAUSE))
    assert not is_answered(store, "p", request(cause=layout.check("p", "w000008")))
    assert not is_answered(store, "p", request())


def test_what_nothing_could_judge_is_no_failure(made):
    store, *_ = made
    lease = acquire_lease(store, "p", "test")
    refuse_untried(store, lease, request(cause=CAUSE), "too few", clock=lambda: NOW)
    (entry,) = read_history(store, "p")
    assert (entry.event, entry.version, entry.reason) == ("version.refused", None, "too few")
    assert not is_retrain(entry)
    assert read_state(store, "p").state.answered == "w000007"


def test_who_has_lost_the_lease_registers_nothing(made):
    store, order, candidate, judgement = made
    lease = acquire_lease(store, "p", "test")
    store.delete(layout.lease("p"))
    acquire_lease(store, "p", "another")
    with pytest.raises(LeaseLost):
        register_candidate(store, lease, order, candidate, judgement)
    assert list_versions(store, "p") == []
    assert read_state(store, "p").state.challenger is None


def test_one_that_was_held_against_another_champion_does_not_take_over(made):
    store, order, candidate, judgement = made
    change_state(
        store,
        "p",
        lambda state: state.model_copy(update={"champion": "0007-x"}),
        new_entry("rollout.promoted", reason="so", by="test"),
    )
    with pytest.raises(RegistryError, match="was held against None, and 0007-x answers by now"):
        register_candidate(store, acquire_lease(store, "p", "test"), order, candidate, judgement)
    assert list_versions(store, "p") == []
    assert read_state(store, "p").state.challenger is None
