"""Whatever the order of heals: nobody is judged on rows that it, or its rival, has learned from."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from flows.retrain import retrain
from perennial.datasets.snapshot import find_snapshot, load_snapshot
from perennial.datasets.source import read_source
from perennial.evaluation.decision import GateDecision
from perennial.loop.made_again import made_again, recorded
from perennial.loop.recipe import RowSplit
from perennial.registry import (
    list_refused,
    list_versions,
    read_file,
    read_history,
    read_state,
)
from perennial.registry.learned import learned_by, learned_by_base, learned_by_trial
from perennial.registry.manifest import GATE_FILE
from perennial.rollout.moves import put_back
from perennial.spec import load_spec
from perennial.store import layout
from tests.flows.conftest import frame
from tests.flows.test_flows import run, trained
from tests.flows.test_heal import shifted

BIKE = Path(__file__).parents[2] / "data/bike"


def newest(store):
    """What was made last, registered or refused."""
    made = [*list_versions(store, "line"), *list_refused(store, "line")]
    return max(made, key=lambda manifest: manifest.version)


def rows_of(store, manifest):
    """What became of the rows that a version was made of."""
    name = manifest.lineage.snapshot
    frame = load_snapshot(store, find_snapshot(store, "line", name))
    recipe = manifest.lineage.recipe
    return RowSplit(frame, recipe.head_rows, recipe.judged_rows)


def judged_on(store, manifest):
    """The rows that judged a version, by its recipe."""
    return rows_of(store, manifest).to_judge


def known(rows, learned):
    """How many of the rows are among those learned; all rows of these streams differ."""
    return len(rows.merge(learned, how="inner"))


def gate_of(store, manifest):
    return GateDecision.model_validate_json(read_file(store, manifest, GATE_FILE))


def against_the_champion(store, manifest):
    found = {check.name: check for check in gate_of(store, manifest).checks}
    return found["not_worse_than_champion"]


def bike(tmp_path, rows):
    spec = load_spec(BIKE)
    folder = tmp_path / "line"
    folder.mkdir()
    read_source(spec, BIKE).iloc[-rows:].to_csv(folder / "data.csv", index=False)
    ignored = ", ".join(spec.ignore)
    (folder / "pipeline.yaml").write_text(
        f"name: line\ntask: regression\nsource: {{uri: data.csv}}\ntarget: {spec.target}\n"
        f"time: {spec.time}\nignore: [{ignored}]\n"
        "model: {estimators: [hist_gradient_boosting]}\nmonitor: {window: 278 rows}\n"
        "rollout: {shadow: null, canary: null, bake: null}\n"
    )


def test_a_second_retrain_on_one_file_has_nothing_to_be_judged_by(connected, tmp_path):
    bike(tmp_path, 4000)
    assert run(retrain, pipeline="line").name == "Registered"
    first = newest(connected)
    judged = judged_on(connected, first)
    assert len(judged) == 139
    trial = rows_of(connected, first).before_judged
    assert known(judged, trial) == 0, "its trial knows none of them"
    assert known(judged, learned_by_base(connected, first)) == 139, "what ships was made of all"
    state = run(retrain, pipeline="line")
    assert state.name == "Refused"
    assert state.message.startswith("no labelled row is newer than what the champion has learned")
    assert newest(connected) == first
    entry = [*read_history(connected, "line")][-1]
    assert (entry.event, entry.version, entry.reason) == ("version.refused", None, state.message)


@pytest.mark.parametrize(
    ("old", "new"),
    [("ignore: [", "ignore: [windspeed, "), ("[hist_gradient_boosting]", "[linear]")],
    ids=["a column ignored", "another family"],
)
def test_an_edited_declaration_is_judged_on_rows_that_neither_trial_knows(
    connected, tmp_path, old, new
):
    bike(tmp_path, 4000)
    run(retrain, pipeline="line")
    first = newest(connected)
    file = tmp_path / "line" / "pipeline.yaml"
    file.write_text(file.read_text().replace(old, new))
    state = run(retrain, pipeline="line")
    made = newest(connected)
    assert state.name in ("Registered", "Refused")
    assert made.lineage.parent == first.version != made.version
    check = against_the_champion(connected, made)
    assert "against the champion's trial on the same 139 rows" in check.detail
    judged = judged_on(connected, made)
    assert len(judged) == 139
    assert known(judged, rows_of(connected, made).before_judged) == 0
    assert known(judged, learned_by_trial(connected, first)) == 0
    assert known(judged, learned_by(connected, first)) == 139, "what ships knows them all"
    assert made_again(connected, made) == recorded(connected, made)


def test_a_retrain_after_a_correction_is_judged_on_rows_that_no_model_knows(connected, immediate):
    trained(immediate)
    immediate(pd.concat([frame(), shifted(200)], ignore_index=True))
    assert run(retrain, pipeline="line", depth="correct").name == "Registered"
    corrected = newest(connected)
    immediate(pd.concat([frame(), shifted(200), shifted(60, seed=2)], ignore_index=True))
    run(retrain, pipeline="line")
    made = newest(connected)
    assert made.lineage.parent == corrected.version
    assert made.lineage.bases == {"first": corrected.lineage.bases["first"]}
    judged = judged_on(connected, made)
    assert len(judged) == 30
    assert known(judged, learned_by(connected, corrected)) == 0
    assert known(judged, rows_of(connected, made).before_judged) == 0
    assert made_again(connected, made) == recorded(connected, made)


def test_a_second_correction_of_the_same_rows_is_not_judged_at_all(connected, immediate):
    trained(immediate)
    immediate(pd.concat([frame(), shifted(200)], ignore_index=True))
    assert run(retrain, pipeline="line", depth="correct").name == "Registered"
    state = run(retrain, pipeline="line", depth="correct")
    assert state.name == "Refused"
    assert state.message == (
        "no labelled row is newer than what the champion has learned from, and on others the two "
        "cannot be compared: wait for 10 more labels, then ask again"
    )
    entry = [*read_history(connected, "line")][-1]
    assert (entry.event, entry.version, entry.reason) == ("version.refused", None, state.message)
    assert entry.details == {"depth": "correct", "untried": True}


def test_what_cannot_be_judged_answers_its_window_and_later_ones_ask_anew(connected, immediate):
    trained(immediate)
    immediate(pd.concat([frame(), shifted(200)], ignore_index=True))
    run(retrain, pipeline="line", depth="correct")
    cause = layout.check("line", "w000004")
    assert run(retrain, pipeline="line", depth="correct", cause=cause).name == "Refused"
    assert read_state(connected, "line").state.answered == "w000004"


def test_a_champion_put_back_is_held_to_what_it_has_learned_itself(connected, immediate):
    trained(immediate)
    first = newest(connected)
    immediate(pd.concat([frame(), shifted(200)], ignore_index=True))
    assert run(retrain, pipeline="line").name == "Registered"
    put_back(connected, "line", to=first.version, why="a test", by="test")
    run(retrain, pipeline="line")
    made = newest(connected)
    assert made.lineage.parent == first.version
    assert known(judged_on(connected, made), learned_by(connected, first)) == 0
    assert len(judged_on(connected, made)) == 30


@pytest.mark.parametrize(("new", "judging"), [(12, 12), (40, 30), (80, 30)])
def test_with_few_new_rows_those_that_the_champion_does_not_know_judge(
    connected, immediate, new, judging
):
    trained(immediate)
    first = newest(connected)
    immediate(pd.concat([frame(), shifted(new)], ignore_index=True))
    run(retrain, pipeline="line")
    made = newest(connected)
    judged = judged_on(connected, made)
    assert len(judged) == judging
    assert known(judged, learned_by(connected, first)) == 0
    assert known(judged, rows_of(connected, made).before_judged) == 0
