from __future__ import annotations

import numpy as np
import pytest

from perennial.evaluation.mixing import Mixture
from perennial.packaging.predictor import Predictor, encode_frame
from perennial.training.heads.heal import give_heads, heal, is_stale
from tests.training.frames import make_frame, make_spec
from tests.training.heads.bases import make_base

CORRECTED = Mixture(correct=1.0)


@pytest.mark.parametrize(
    ("fitted", "now", "stale"),
    [
        ((0, 500), (100, 600), True),
        ((0, 500), (10, 510), False),
        ((0, 800), (100, 700), True),
        ((100, 700), (600, 700), True),
        ((0, 30), (0, 33), False),
        ((0, 30), (0, 60), True),
    ],
)
def test_heads_are_fitted_anew_once_a_good_part_of_their_rows_is_new(fitted, now, stale):
    assert is_stale(np.arange(*fitted), np.arange(*now)) is stale


@pytest.mark.parametrize("task", ["regression", "multiclass"])
def test_the_trial_does_not_depend_on_the_rows_it_is_judged_by(task):
    base = make_base(task, turned=False)
    frame, spec = make_frame(task, seed=2), make_spec(task)
    changed = frame.assign(y=frame["y"].where(frame.index < 200, frame["y"].iloc[0]))
    first, second = (
        heal(rows, spec, base.model, base.signature, CORRECTED, left_out=40)
        for rows in (frame, changed)
    )
    assert first.trial == second.trial
    assert first.model != second.model
    assert first.parity.ok
    assert second.parity.ok


def test_rows_of_a_class_that_the_base_does_not_know_are_left_out():
    base = make_base("multiclass", turned=False)
    frame = make_frame("multiclass", seed=2)
    frame.loc[frame.index % 3 == 0, "y"] = "new"
    healed = heal(
        frame,
        make_spec("multiclass"),
        base.model,
        base.signature,
        Mixture(recalibrate=1.0),
        left_out=40,
    )
    output = Predictor(healed.model, base.signature).predict(*encode_frame(base.signature, frame))
    assert output.shape == (len(frame), 3)
    assert np.isfinite(output).all()


def test_without_a_head_the_base_is_what_it_was():
    base = make_base("binary")
    healed = heal(
        make_frame("binary"), make_spec("binary"), base.model, base.signature, None, left_out=9
    )
    assert healed.model == healed.trial == base.model
    assert healed.parity.ok


@pytest.mark.parametrize("task", ["regression", "binary"])
def test_a_new_base_gets_the_heads_that_it_has_earned_on_rows_it_was_not_trained_on(task):
    base = make_base(task, turned=False)
    frame = make_frame(task, seed=2)
    turned = 1.5 * frame["y"] - 300 if task == "regression" else frame["y"].map(_other(frame["y"]))
    born = give_heads(
        frame.assign(y=turned),
        make_spec(task),
        base.model,
        base.signature,
        base.model,
        base.signature,
        judged=80,
    )
    assert sum(born.mixture.shares) > 0.5
    assert born.model != base.model
    assert born.trial == born.rival
    assert born.parity.ok
    assert [trial.rows for trial in born.trials] == [80]


def _other(labels):
    one, two = sorted(labels.unique(), key=str)
    return {one: two, two: one}
