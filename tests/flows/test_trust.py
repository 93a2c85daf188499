"""A version from its lineage to its end: shown, compared, made again, kept, swept."""

import json
from datetime import timedelta

import numpy as np
import pytest
from typer.testing import CliRunner

from flows.gc import gc
from flows.retrain import retrain
from perennial.cli import app
from perennial.errors import ModelError, PerennialError
from perennial.evaluation.decision import GateDecision
from perennial.registry import (
    find_version,
    list_refused,
    list_versions,
    read_file,
    read_history,
    read_state,
)
from perennial.registry.manifest import GATE_FILE
from perennial.registry.sweep import plan_sweep, sweep
from perennial.spec import Retention
from perennial.store import acquire_lease, layout
from perennial.store.lease import utc_now
from tests.flows.conftest import frame
from tests.flows.test_flows import run, trained


def say(*arguments):
    return CliRunner().invoke(app, arguments, catch_exceptions=False)


def replaced(pipeline, data, seed=0):
    """Give the pipeline other rows, and let what is trained on them take over at once; with another
    seed it begins anew."""
    file = pipeline(data) / "pipeline.yaml"
    model = f"model: {{seed: {seed}, estimators"
    written = file.read_text().replace("model: {estimators", model)
    file.write_text(written + "rollout: {shadow: null, canary: null, bake: null}\n")
    assert run(retrain, pipeline="line").name == "Registered"


def gates_of(store, version):
    gate = read_file(store, find_version(store, "line", version), GATE_FILE)
    decision = GateDecision.model_validate_json(gate)
    return {check.name: check for check in decision.checks}


def test_a_first_version_shows_every_check_and_where_it_came_from(connected, pipeline):
    trained(pipeline)
    checks = gates_of(connected, "champion")
    assert {name for name, check in checks.items() if check.verdict == "passed"} >= {
        "better_than_constant",
        "leakage",
        "signature",
        "size",
        "latency",
        "parity",
        "servability",
    }
    manifest = find_version(connected, "line", "champion")
    lineage = manifest.lineage
    recipe = lineage.recipe
    assert recipe.judged_rows + recipe.trial_rows == recipe.trained_rows == 400
    assert len(lineage.sources) == len(lineage.lock) == 64
    assert (manifest.runtime.ir, manifest.runtime.opsets[""]) == (8, 17)
    told = json.loads(say("show", "line", "champion", "--json").output)
    assert told["gate"]["passed"]
    page = say("show", "line", manifest.version[:6]).output
    for heading in ("Intended use", "Data", "Metrics", "Gates", "Slices", "Lineage"):
        assert heading in page


def test_a_version_is_made_again_byte_by_byte_or_the_input_that_differs_is_named(
    connected, pipeline, monkeypatch
):
    trained(pipeline)
    same = say("reproduce", "line", "champion")
    assert (same.exit_code, "the same bytes again" in same.output) == (0, True), same.output
    monkeypatch.setattr("perennial.reproduce.source_sha256", lambda: "f" * 64)
    assert "  code: " in say("reproduce", "line", "champion").output
    snapshot = find_version(connected, "line", "champion").lineage.snapshot
    key = layout.snapshot_data("line", snapshot)
    data = bytearray(connected.get(key).data)
    data[len(data) // 2] ^= 1
    connected.put(key, bytes(data))
    altered = say("reproduce", "line", "champion")
    assert altered.exit_code == 1
    assert "  snapshot: " in altered.output
    connected.delete(layout.snapshot("line", snapshot))
    assert "not in the store any more" in say("reproduce", "line", "champion").output


def test_a_leak_is_refused_and_named_until_it_is_allowed_on_the_record(connected, pipeline):
    leaky = frame().assign(told=lambda f: 2 * f["y"] + 1)
    folder = pipeline(leaky)
    state = run(retrain, pipeline="line")
    assert state.name == "Refused"
    assert "'told' is exactly a function of the target" in state.message
    (refused,) = list_refused(connected, "line")
    assert refused.keep_until > utc_now() + timedelta(days=29)
    assert "'told'" in say("show", "line", refused.version).output
    file = folder / "pipeline.yaml"
    file.write_text(file.read_text() + "gates: {allow_leakage: [told]}\n")
    assert run(retrain, pipeline="line").name == "Registered"
    (version,) = list_versions(connected, "line")
    assert gates_of(connected, version.version)["leakage"].verdict == "overridden"
    entries = {entry.event: entry for entry in read_history(connected, "line")}
    assert entries["version.registered"].details["leakage_allowed"] == ["told"]


def test_two_versions_are_compared_and_the_old_one_goes_in_its_time(connected, pipeline):
    trained(pipeline)
    first = read_state(connected, "line").state.champion
    replaced(pipeline, frame(900, slope=-3.0))
    told = " ".join(say("versions", "line").output.split())
    assert "on 30 rows" in told
    assert f"against {first} on the same rows" in told
    assert "perennial compare" in told
    none_left = say("compare", "line", "previous", "champion").output
    assert "cannot be held against one another: the store has 0 labelled rows" in none_left
    lines = {
        line["what"]: line
        for line in json.loads(say("compare", "line", "previous", "champion", "--json").output)[
            "lines"
        ]
    }
    assert lines["snapshot"]["left"] != lines["snapshot"]["right"]
    assert "seed" not in lines
    assert "0 objects would go" in say("gc", "line", "--dry-run").output
    assert run(gc).name == "Swept"
    strict = Retention(champions=1, others=timedelta(0))
    later = utc_now() + timedelta(days=40)
    # The state still names it as the one to go back to.
    assert first in plan_sweep(connected, "line", strict, now=later).kept


def test_a_rollback_and_a_sweep_at_once_never_leave_the_state_pointing_at_nothing(
    connected, pipeline
):
    trained(pipeline)
    first = read_state(connected, "line").state.champion
    replaced(pipeline, frame(900, slope=-3.0), seed=1)
    strict, later = Retention(champions=1, others=timedelta(0)), utc_now() + timedelta(days=40)
    replaced(pipeline, frame(1500, slope=9.0), seed=2)
    plan = plan_sweep(connected, "line", strict, now=later)
    assert first in plan.versions
    # The rollback comes between the plan and the sweep.
    say("rollback", "line", "--to", first)
    lease = acquire_lease(connected, "line", "a sweep")
    sweep(connected, plan, lease, by="test")
    assert find_version(connected, "line", "champion").version == first
    assert say("reproduce", "line", "champion").exit_code == 0
    # And now the sweep comes first.
    newest, *_ = plan_sweep(connected, "line", strict, now=later).versions
    sweep(connected, plan_sweep(connected, "line", strict, now=later), lease, by="test")
    lease.release()
    with pytest.raises(PerennialError, match="no version"):
        say("rollback", "line", "--to", newest)
    revisions = [e.revision for e in read_history(connected, "line") if e.revision]
    assert revisions == list(range(1, len(revisions) + 1))


def test_a_flipped_bit_in_any_file_of_a_version_is_found_by_who_reads_it(connected, pipeline):
    trained(pipeline)
    manifest = find_version(connected, "line", "champion")
    rng = np.random.default_rng(0)
    for name in [*manifest.files, "manifest.json"]:
        key = layout.version_file("line", manifest.version, name)
        whole = connected.get(key).data
        for _ in range(8):
            data = bytearray(whole)
            data[rng.integers(len(data))] ^= 1 << rng.integers(8)
            connected.put(key, bytes(data))
            with pytest.raises(ModelError):
                read_file(connected, find_version(connected, "line", "champion"), name)
        connected.put(key, whole)
    assert find_version(connected, "line", "champion") == manifest
