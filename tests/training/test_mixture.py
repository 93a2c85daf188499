"""Trained models and small ones, mixed at given shares, are one graph that answers as they do."""

from __future__ import annotations

import numpy as np
import pytest

from perennial.errors import ModelError, TrainingError
from perennial.evaluation.mixing import BASES, HEADS, MEMBERS, Mixture
from perennial.packaging.export import export
from perennial.packaging.members import Members
from perennial.packaging.predictor import Packaged, encode_frame
from perennial.training.mixture import MixedModel, StandingMixture, fit_on
from perennial.training.train import fit, refit
from tests.training.frames import TASKS, make_frame, make_spec

ALL = Mixture(first=0.2, recent=0.2, all=0.1, recalibrate=0.1, renew=0.1, correct=0.3)


def packaged(fitted):
    return Packaged(export(fitted.model, fitted.signature), fitted.signature)


_MADE = {}


def parts(task):
    """Three trained models, small ones on the first, and the newest rows."""
    if task not in _MADE:
        spec = make_spec(task)
        old, new = make_frame(task), make_frame(task, seed=1)
        first = packaged(fit(old, spec, "hist_gradient_boosting", rounds=8))
        bases = {"first": first}
        for name, rows in (("recent", 120), ("all", 240)):
            fitted = refit(new, spec, first.signature, "linear", rows=rows, rounds=None)
            bases[name] = packaged(fitted)
        _MADE[task] = bases, fit_on(new, spec, first), new
    return _MADE[task]


def mixed(task, mixture=ALL, members=BASES, heads=True):
    bases, small, _ = parts(task)
    chosen = {name: bases[name] for name in members}
    return MixedModel(chosen, small if heads else (), mixture)


def inputs(task):
    bases, _, rows = parts(task)
    return encode_frame(bases["first"].signature, rows)


def answers(task):
    """Of each member on its own, by the parts that it was made of."""
    bases, small, _ = parts(task)
    rows = inputs(task)
    known = {name: base.predictor.predict(*rows) for name, base in bases.items()}
    first = known["first"]
    for name, head in zip(HEADS, small, strict=True):
        known[name] = head.predict(*rows, first)
    return known


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(
    "mixture",
    [
        ALL,
        Mixture.alone(),
        Mixture(all=1.0),
        Mixture(renew=1.0),
        Mixture(recent=0.5, correct=0.5),
    ],
    ids=["all", "the first alone", "another alone", "a small one alone", "two"],
)
def test_the_graph_answers_as_the_mixture_of_its_parts(task, mixture):
    model, known = mixed(task, mixture), answers(task)
    expected = sum(share * known[name] for name, share in mixture.parts.items())
    np.testing.assert_allclose(model.predict(*inputs(task)), expected, rtol=1e-6)
    assert model.check(parts(task)[2]).ok
    served = model.packaged.predictor.predict(*inputs(task))
    np.testing.assert_allclose(served, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("task", TASKS)
def test_answers_lie_between_those_of_the_members(task):
    served = mixed(task).packaged.predictor.predict(*inputs(task))
    known = [*answers(task).values()]
    slack = 1e-6 * np.abs(served).max()
    assert (served >= np.min(known, axis=0) - slack).all()
    assert (served <= np.max(known, axis=0) + slack).all()
    if task == "multiclass":
        np.testing.assert_allclose(served.sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("mixture", [ALL, Mixture(recent=1.0)], ids=["a share", "no share"])
def test_what_each_member_answers_can_be_read_whatever_its_share(task, mixture):
    model = mixed(task, mixture)
    members = Members(model.packaged.graph, model.signature)
    assert set(members.names) == set(MEMBERS)
    served, found = members.answer(*inputs(task))
    np.testing.assert_array_equal(served, model.packaged.predictor.predict(*inputs(task)))
    for name, expected in answers(task).items():
        np.testing.assert_allclose(found[name], expected, rtol=1e-4, atol=1e-5, err_msg=name)


def test_a_mixture_of_fewer_has_only_those():
    model = mixed("binary", members=("first", "all"), heads=False)
    members = Members(model.packaged.graph, model.signature)
    assert members.names == ("all", "first")
    served, found = members.answer(*inputs("binary"))
    expected = 0.9 * found["first"] + 0.1 * found["all"]
    np.testing.assert_allclose(served, expected, atol=1e-6)


def test_a_trained_graph_is_no_mixture():
    first = parts("binary")[0]["first"]
    members = Members(first.graph, first.signature)
    assert members.names == ()
    served, found = members.answer(*inputs("binary"))
    np.testing.assert_array_equal(served, first.predictor.predict(*inputs("binary")))
    assert found == {}


def test_the_same_parts_give_the_same_bytes():
    assert mixed("multiclass").packaged.graph == mixed("multiclass").packaged.graph
    other = mixed("multiclass", Mixture.equal()).packaged.graph
    assert mixed("multiclass").packaged.graph != other


def test_the_first_is_one_of_itself_as_a_mixture_of_one():
    first = parts("regression")[0]["first"]
    alone = mixed("regression", Mixture.alone(), members=("first",), heads=False)
    np.testing.assert_array_equal(
        alone.packaged.predictor.predict(*inputs("regression")),
        first.predictor.predict(*inputs("regression")),
    )


@pytest.mark.parametrize("task", TASKS)
def test_new_models_are_tried_beside_the_small_ones_that_stand(task):
    bases, small, _ = parts(task)
    first, others = {"first": bases["first"]}, {"first": bases["first"], "all": bases["all"]}
    stands = MixedModel(first, small, Mixture(recalibrate=1.0)).packaged
    mixture = Mixture(first=0.1, all=0.4, renew=0.2, correct=0.3)
    trial = StandingMixture(others, Members(stands.graph, stands.signature), mixture)
    assert trial.signature == bases["first"].signature
    expected = MixedModel(others, small, mixture).predict(*inputs(task))
    np.testing.assert_allclose(trial.predict(*inputs(task)), expected, rtol=1e-4, atol=1e-5)


def test_of_a_member_that_was_refitted_the_new_model_is_tried():
    bases, _, _ = parts("regression")
    stands = mixed("regression").packaged
    swapped = {**bases, "recent": bases["all"]}
    trial = StandingMixture(swapped, Members(stands.graph, stands.signature), Mixture(recent=1.0))
    np.testing.assert_allclose(
        trial.predict(*inputs("regression")), answers("regression")["all"], rtol=1e-6
    )


def test_rows_of_a_class_that_the_first_does_not_know_are_left_out():
    bases, _, rows = parts("multiclass")
    first, spec = bases["first"], make_spec("multiclass")
    strange = rows.assign(y=rows["y"].where(rows.index % 3 != 0, "new"))
    known = rows[rows.index % 3 != 0]
    one, other = (
        MixedModel({"first": first}, fit_on(frame, spec, first), Mixture(correct=1.0)).packaged
        for frame in (strange, known)
    )
    assert one.graph == other.graph
    assert one.predictor.predict(*inputs("multiclass")).shape == (len(rows), 3)
    with pytest.raises(TrainingError, match="no labelled rows"):
        fit_on(rows.assign(y="new"), spec, first)


def test_what_is_no_graph_stands_in_no_mixture():
    first = parts("binary")[0]["first"]
    broken = Packaged(b"\xff\xff", first.signature)
    with pytest.raises(ModelError, match="no ONNX graph"):
        MixedModel({"first": broken}, (), Mixture.alone()).packaged  # noqa: B018
    with pytest.raises(ModelError, match="no ONNX graph"):
        Members(b"\xff\xff", first.signature)
