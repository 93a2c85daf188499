"""A heal that is not a retrain: from the event's depth to a registered version, and back off."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from flows.retrain import retrain
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


@pytest.mark.parametrize("depth", ["recalibrate", "correct", "retrain"])
def test_each_depth_makes_a_version_that_takes_over_and_errs_less(connected, immediate, depth):
    trained(immediate)
    champion = list_versions(connected, "line")[0]
    healed = heal(connected, immediate, depth, frame(), shifted(200), reason="loss rose", span=None)
    later = shifted(100, seed=7)
    assert error_on(connected, healed, later) < 0.25 * error_on(connected, champion, later)
    lineage = healed.lineage
    assert (lineage.depth, lineage.parent, lineage.reason) == (
        depth,
        champion.version,
        "loss rose",
    )
    assert lineage.base == (None if depth == "retrain" else champion.version)
    registered = [e for e in read_history(connected, "line") if e.event == "version.registered"]
    assert [e.details["depth"] for e in registered] == ["retrain", depth]
    assert all(e.details["cpu_seconds"] > 0 for e in registered)
    taken = getattr(measured_costs(registered), depth)
    assert taken == registered[-1].details["cpu_seconds"]


def test_a_head_is_judged_on_rows_it_has_not_seen_and_then_fitted_on_all(connected, immediate):
    trained(immediate)
    healed = heal(connected, immediate, "recalibrate", frame(), shifted(200))
    assert healed.metrics["trained_rows"] == 200
    assert healed.metrics["rows"] == 50
    assert healed.metrics["usual_rows"] == list_versions(connected, "line")[0].metrics["usual_rows"]
    recipe = healed.lineage.recipe
    assert (recipe.trained_rows, recipe.trial_rows, recipe.judged_rows) == (200, 150, 50)


def test_a_new_head_replaces_the_old_one(connected, immediate):
    trained(immediate)
    first = heal(connected, immediate, "correct", frame(), shifted(200))
    moved = shifted(200, seed=2).assign(y=lambda rows: rows["y"] - 90)
    second = heal(connected, immediate, "correct", frame(), shifted(200), moved)
    base = list_versions(connected, "line")[0].version
    assert second.lineage.base == first.lineage.base == base
    assert second.lineage.parent == first.version
    sizes = [m.files[MODEL_FILE].size for m in (first, second)]
    assert sizes[1] < 1.2 * sizes[0]


def test_a_head_that_no_longer_helps_comes_off(connected, immediate):
    trained(immediate)
    base = list_versions(connected, "line")[0]
    heal(connected, immediate, "recalibrate", frame(), shifted(200))
    back = frame(200, seed=3)
    bare = heal(connected, immediate, "unhead", frame(), shifted(200), back)
    assert bare.files[MODEL_FILE] == base.files[MODEL_FILE]
    assert (bare.lineage.depth, bare.lineage.base) == ("unhead", base.version)
    again = heal(
        connected, immediate, "recalibrate", frame(), shifted(200), back, shifted(200, seed=4)
    )
    assert again.lineage.base == base.version


def test_a_head_that_does_not_help_is_refused_and_the_shift_is_answered(connected, immediate):
    trained(immediate)
    noise = frame(200, seed=5)
    noise.loc[:140, "y"] += 100
    immediate(pd.concat([frame(), noise], ignore_index=True))
    cause = layout.check("line", "w000004")
    state = run(retrain, pipeline="line", depth="recalibrate", cause=cause)
    assert state.name == "Refused"
    assert "against the champion" in state.message
    assert read_state(connected, "line").state.answered == "w000004"
    entry = list(read_history(connected, "line"))[-1]
    assert (entry.event, entry.details["depth"]) == ("version.refused", "recalibrate")


@pytest.mark.parametrize(
    ("depth", "span", "words"),
    [
        ("unhead", None, "has no correction to take off"),
        ("correct", 20, "20 labelled rows to fit a head on .* 30 are needed"),
    ],
)
@pytest.mark.usefixtures("connected")
def test_what_cannot_be_healed_so_is_said_in_one_line(immediate, depth, span, words):
    trained(immediate)
    immediate(pd.concat([frame(), shifted(200)], ignore_index=True))
    state = run(retrain, pipeline="line", depth=depth, span=span)
    assert state.type.value == "FAILED"
    assert re.search(words, state.message)


@pytest.mark.usefixtures("connected")
def test_without_a_champion_there_is_nothing_to_put_a_head_on(pipeline):
    pipeline(frame())
    state = run(retrain, pipeline="line", depth="correct")
    assert "has no champion yet" in state.message
