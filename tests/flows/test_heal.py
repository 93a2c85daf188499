"""A heal of each depth: from the event to a registered version."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from flows.retrain import retrain
from perennial.evaluation.mixing import HEADS
from perennial.packaging.predictor import Predictor, encode_frame
from perennial.registry import (
    list_versions,
    measured_costs,
    read_file,
    read_history,
    read_manifest,
    read_signature,
    read_state,
)
from perennial.registry.manifest import MODEL_FILE
from perennial.store import layout
from tests.flows.conftest import frame
from tests.flows.test_flows import run, trained


def shifted(rows: int, seed: int = 1) -> pd.DataFrame:
    """Rows of a world in which the target is larger, and more so where x is."""
    data = frame(rows, seed=seed)
    return data.assign(y=1.5 * data["y"] + 40 + 3 * (data["x"] > 0.5))


def heal(connected, pipeline, depth, *parts, **parameters):
    """Write the stream, heal, let the version take over; return its manifest."""
    pipeline(pd.concat(parts, ignore_index=True))
    state = run(retrain, pipeline="line", depth=depth, **parameters)
    assert state.name == "Registered", state.message
    return read_manifest(connected, "line", read_state(connected, "line").state.champion)


def error_on(connected, manifest, rows):
    signature = read_signature(connected, manifest)
    model = Predictor(read_file(connected, manifest, MODEL_FILE), signature)
    output = model.predict(*encode_frame(signature, rows))[:, 0]
    return float(np.sqrt(np.mean((output - rows["y"]) ** 2)))


@pytest.mark.parametrize("depth", ["correct", "retrain"])
def test_each_depth_makes_a_version_that_takes_over_and_errs_less(connected, immediate, depth):
    trained(immediate)
    champion = list_versions(connected, "line")[0]
    healed = heal(connected, immediate, depth, frame(), shifted(200), reason="loss rose", span=None)
    later = shifted(100, seed=7)
    assert error_on(connected, healed, later) < 0.7 * error_on(connected, champion, later)
    lineage = healed.lineage
    assert (lineage.depth, lineage.parent, lineage.reason) == (
        depth,
        champion.version,
        "loss rose",
    )
    assert lineage.bases == {"first": champion.version}
    assert set(lineage.recipe.bases) == ({"recent"} if depth == "retrain" else set())
    registered = [e for e in read_history(connected, "line") if e.event == "version.registered"]
    assert [e.details["depth"] for e in registered] == ["retrain", depth]
    assert all(e.details["cpu_seconds"] > 0 for e in registered)
    taken = getattr(measured_costs(registered), depth)
    assert taken == registered[-1].details["cpu_seconds"]


def test_a_correction_is_judged_on_rows_it_has_not_seen_and_then_fitted_on_all(
    connected, immediate
):
    trained(immediate)
    healed = heal(connected, immediate, "correct", frame(), shifted(200))
    assert healed.metrics["trained_rows"] == 200
    assert healed.metrics["rows"] == 50
    assert healed.metrics["usual_rows"] == list_versions(connected, "line")[0].metrics["usual_rows"]
    recipe = healed.lineage.recipe
    assert (recipe.trained_rows, recipe.trial_rows, recipe.judged_rows) == (200, 150, 50)


def test_new_small_models_replace_the_old_ones(connected, immediate):
    trained(immediate)
    first = heal(connected, immediate, "correct", frame(), shifted(200))
    moved = shifted(200, seed=2).assign(y=lambda rows: rows["y"] - 90)
    second = heal(connected, immediate, "correct", frame(), shifted(200), moved)
    base = list_versions(connected, "line")[0].version
    assert second.lineage.bases == first.lineage.bases == {"first": base}
    assert second.lineage.parent == first.version
    sizes = [m.files[MODEL_FILE].size for m in (first, second)]
    assert sizes[1] < 1.2 * sizes[0]


def test_a_correction_goes_on_with_the_models_that_a_retrain_has_made(connected, immediate):
    trained(immediate)
    base = list_versions(connected, "line")[0]
    second = heal(connected, immediate, "retrain", frame(), shifted(200))
    third = heal(connected, immediate, "correct", frame(), shifted(200), shifted(100, seed=3))
    assert third.lineage.bases == {"first": base.version, "recent": second.version}
    assert set(third.lineage.recipe.shares) == {"first", "recent", *HEADS}


def test_a_correction_that_does_harm_is_refused_and_the_shift_is_answered(connected, immediate):
    trained(immediate)
    noise = frame(200, seed=5)
    noise.loc[:140, "y"] += 100
    immediate(pd.concat([frame(), noise], ignore_index=True))
    cause = layout.check("line", "w000004")
    state = run(retrain, pipeline="line", depth="correct", cause=cause)
    assert state.name == "Refused"
    assert read_state(connected, "line").state.answered == "w000004"
    entry = list(read_history(connected, "line"))[-1]
    assert (entry.event, entry.details["depth"]) == ("version.refused", "correct")


@pytest.mark.usefixtures("connected")
def test_too_few_rows_for_small_models_are_told_in_one_line(immediate):
    trained(immediate)
    immediate(pd.concat([frame(), shifted(200)], ignore_index=True))
    state = run(retrain, pipeline="line", depth="correct", span=20)
    assert state.type.value == "FAILED"
    assert re.search("20 labelled rows to fit a correction on .* 30 are needed", state.message)


@pytest.mark.usefixtures("connected")
def test_without_a_champion_there_is_nothing_to_correct(pipeline):
    pipeline(frame())
    state = run(retrain, pipeline="line", depth="correct")
    assert "has no champion yet" in state.message
