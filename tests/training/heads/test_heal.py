from __future__ import annotations

import numpy as np
import pytest

from perennial.evaluation.mixing import Mixture
from perennial.packaging.predictor import Packaged, encode_frame
from perennial.training.heads.heal import heal, try_on
from tests.training.frames import make_frame, make_spec
from tests.training.heads.bases import make_base

CORRECTED = Mixture(correct=1.0)


@pytest.mark.parametrize("task", ["regression", "multiclass"])
def test_a_graph_with_heads_answers_as_what_it_was_composed_from(task):
    base, frame = packaged(task), make_frame(task, seed=2)
    healed = heal(frame, make_spec(task), base, CORRECTED)
    assert healed.packaged.graph != base.graph
    assert healed.check(frame).ok


def test_rows_of_a_class_that_the_base_does_not_know_are_left_out():
    base, frame = packaged("multiclass"), make_frame("multiclass", seed=2)
    frame.loc[frame.index % 3 == 0, "y"] = "new"
    healed = heal(frame, make_spec("multiclass"), base, Mixture(recalibrate=1.0))
    output = healed.packaged.predictor.predict(*encode_frame(base.signature, frame))
    assert output.shape == (len(frame), 3)
    assert np.isfinite(output).all()


def test_without_a_head_the_base_is_what_it_was():
    base, frame = packaged("binary"), make_frame("binary")
    healed = heal(frame, make_spec("binary"), base, None)
    assert healed.packaged is base
    assert healed.check(frame).ok


@pytest.mark.parametrize("task", ["regression", "binary"])
def test_a_new_base_gets_the_heads_that_it_has_earned_on_rows_it_was_not_trained_on(task):
    base, frame = packaged(task), make_frame(task, seed=2)
    turned = 1.5 * frame["y"] - 300 if task == "regression" else frame["y"].map(_other(frame["y"]))
    frame = frame.assign(y=turned)
    tried = try_on(frame[:-80], frame[-80:], make_spec(task), base, base)
    assert sum(tried.mixture.shares) > 0.5
    assert tried.trial.graph == tried.rival.graph != base.graph
    assert [trial.rows for trial in tried.trials] == [80]


@pytest.mark.parametrize("task", ["regression", "multiclass"])
def test_what_is_judged_does_not_depend_on_the_rows_that_judge(task):
    base, frame = packaged(task), make_frame(task, seed=2)
    changed = frame.assign(y=frame["y"].where(frame.index < 200, frame["y"].iloc[0]))
    first, second = (
        try_on(rows[:200], rows[200:], make_spec(task), base, base) for rows in (frame, changed)
    )
    assert first.trial.graph == second.trial.graph
    assert first.trials != second.trials


def packaged(task):
    base = make_base(task, turned=False)
    return Packaged(base.model, base.signature)


def _other(labels):
    one, two = sorted(labels.unique(), key=str)
    return {one: two, two: one}
