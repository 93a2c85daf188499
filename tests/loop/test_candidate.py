"""What is made: a mixture that begins is judged by a trial, one that goes on as it would serve."""

from __future__ import annotations

import numpy as np
import pytest

from perennial.evaluation.mixing import BASES, HEADS, MEMBERS, Mixture
from perennial.loop.candidate import make_again, make_candidate
from perennial.loop.meter import Meter
from perennial.loop.versions import answer
from perennial.packaging.predictor import Packaged, encode_frame
from perennial.registry import bases_of, read_base, read_signature
from perennial.registry.learned import learned_by, learned_by_base
from perennial.training.train import fit
from tests.loop.making import Pipeline, joined, spec, stream

OLD = stream(300)
TURNED = joined(OLD, stream(300, slope=-3.0, seed=1))
LONGER = joined(TURNED, stream(100, slope=-3.0, seed=2))
SHARES = Mixture(first=0.2, recent=0.3, all=0.1, correct=0.4)


def again(pipeline, version):
    """The graph of a version, made from its recipe."""
    bases = {
        name: Packaged(read_base(pipeline.store, of, name), read_signature(pipeline.store, of))
        for name, of in bases_of(pipeline.store, version).items()
        if name in version.lineage.bases
    }
    frame = pipeline.snapshots.rows(version.lineage.snapshot)
    return make_again(frame, pipeline.spec, version.lineage, bases)


@pytest.fixture
def pipeline():
    pipeline = Pipeline()
    pipeline.renew(OLD)
    return pipeline


@pytest.fixture
def mixed(pipeline):
    """A pipeline whose champion has all members: the small ones of its newest version."""
    pipeline.spec = spec(policy={"retrain_wait": 0})
    pipeline.renew(TURNED, "retrain", SHARES)
    return pipeline


def unjudged(pipeline, frame):
    """Keep rows as they are, past the rules."""
    return pipeline.snapshots.take(frame, source="", source_rows=len(frame), from_source=len(frame))


def test_a_first_version_is_judged_by_a_trial_and_made_of_all_rows(pipeline):
    fresh = Pipeline()
    candidate = fresh.make(fresh.fix(OLD))
    recipe = candidate.recipe
    assert (recipe.trained_rows, recipe.trial_rows, recipe.judged_rows) == (300, 270, 30)
    assert (recipe.bases, recipe.shares, recipe.head_rows) == ({"first": 300}, {}, 0)
    assert (candidate.anew, candidate.bases, candidate.refitted) == (True, {}, {})
    assert candidate.kept is not None
    assert candidate.kept.graph != candidate.model.graph
    alone = fit(OLD, fresh.spec, "hist_gradient_boosting", rounds=recipe.rounds)
    inputs = encode_frame(candidate.model.signature, OLD)
    assert (answer(candidate.model.predictor, OLD)[:, 0]).tolist() == pytest.approx(
        alone.model.predict(*inputs)[:, 0].tolist(), abs=1e-3
    )
    assert candidate.usual_rows == len(candidate.reference) == 300
    assert candidate.parity.ok
    version = pipeline.champion.version
    assert len(learned_by_base(pipeline.store, version, pipeline.snapshots)) == 300


def test_the_rows_that_judge_do_not_change_the_trial_of_a_first_version():
    changed = OLD.assign(y=OLD["y"].where(OLD.index < 270, 0.0))
    first, second = (
        p.make(unjudged(p, rows))
        for p, rows in zip([Pipeline(), Pipeline()], (OLD, changed), strict=True)
    )
    assert first.kept.graph == second.kept.graph
    assert first.model.graph != second.model.graph


def test_a_first_correction_adds_small_models_to_the_first(pipeline):
    first = pipeline.champion
    candidate = pipeline.make(pipeline.fix(TURNED), "correct")
    recipe = candidate.recipe
    assert (recipe.head_rows, recipe.judged_rows, recipe.bases) == (200, 40, {})
    assert (recipe.trained_rows, recipe.trial_rows) == (200, 160)
    assert recipe.shares == pytest.approx({"first": 0.5} | dict.fromkeys(HEADS, 1 / 6))
    assert (candidate.bases, candidate.against) == ({"first": first.name}, first.name)
    assert (candidate.anew, candidate.refitted, candidate.kept) == (False, {}, None)
    assert candidate.parity.ok
    assert candidate.model.signature == first.signature


def test_a_retrain_refits_beside_the_first_and_leaves_it_as_it_is(pipeline):
    first = pipeline.champion
    snapshot = pipeline.fix(TURNED)
    candidate = pipeline.make(snapshot, mixture=SHARES)
    recipe = candidate.recipe
    assert (recipe.bases, recipe.head_rows, recipe.judged_rows) == ({"recent": 300}, 200, 30)
    assert (recipe.trained_rows, recipe.trial_rows) == (300, 300)
    assert list(candidate.refitted) == ["recent"]
    assert candidate.bases == {"first": first.name}
    assert recipe.shares == pytest.approx({"first": 0.3, "recent": 0.3, "correct": 0.4})
    made = pipeline.register(snapshot, candidate, pipeline.judge(candidate))
    champion = pipeline.champion
    assert champion.base.version == first.name
    assert champion.newest.version == made.version
    assert champion.graphs["first"].graph == first.graph
    assert champion.graphs["recent"].graph == candidate.refitted["recent"].graph
    assert len(learned_by_base(pipeline.store, made, pipeline.snapshots)) == 300
    assert len(learned_by(pipeline.store, made, pipeline.snapshots)) == 600


def test_a_refitted_model_has_not_seen_the_rows_that_judge_it_and_ships_so(pipeline):
    changed = TURNED.assign(y=TURNED["y"].where(TURNED.index < 570, 0.0))
    first, second = (
        pipeline.make(unjudged(pipeline, rows), mixture=SHARES) for rows in (TURNED, changed)
    )
    assert first.refitted["recent"].graph == second.refitted["recent"].graph
    assert len(first.reference) == 300
    assert first.reference.index[-1] == 569
    assert first.model.graph != second.model.graph, "its small models have"


@pytest.mark.parametrize("depth", ["correct", "retrain"])
def test_what_is_judged_does_not_depend_on_the_rows_that_judge(mixed, depth):
    """Nor does it for a champion that has no small models yet."""
    judged = {"correct": 33, "retrain": 30}[depth]
    changed = LONGER.assign(y=LONGER["y"].where(LONGER.index < 700 - judged, 0.0))
    fresh = Pipeline()
    fresh.renew(OLD)
    for pipeline in (mixed, fresh):
        first, second = (
            pipeline.make(unjudged(pipeline, rows), depth, SHARES) for rows in (LONGER, changed)
        )
        assert first.recipe.judged_rows >= judged
        np.testing.assert_array_equal(answer(first.trial, LONGER), answer(second.trial, LONGER))
        assert first.model.graph != second.model.graph


def test_small_models_that_stand_are_tried_with_the_new_shares(mixed):
    """New ones have learned from the rows that judge."""
    champion = mixed.champion
    candidate = mixed.make(mixed.fix(LONGER), "correct", Mixture(renew=1.0))
    rows = candidate.rows.to_judge
    _, members = champion.members.answer(*encode_frame(champion.signature, rows))
    np.testing.assert_allclose(answer(candidate.trial, rows), members["renew"])
    assert np.abs(answer(candidate.model.predictor, rows) - members["renew"]).max() > 0


def test_a_correction_takes_all_trained_models_over(mixed):
    champion = mixed.champion
    snapshot = mixed.fix(LONGER)
    candidate = mixed.make(snapshot, "correct", SHARES)
    assert (candidate.refitted, candidate.recipe.bases) == ({}, {})
    assert candidate.bases == dict.fromkeys(BASES, champion.name) | {"first": champion.base.version}
    assert candidate.recipe.shares == pytest.approx(SHARES.parts)
    assert candidate.reference.equals(champion.reference)
    made = mixed.register(snapshot, candidate, mixed.judge(candidate))
    assert set(mixed.champion.members.names) == set(MEMBERS)
    assert {name: of.version for name, of in mixed.champion.bases.items()} == candidate.bases
    assert mixed.champion.mixture.shares == pytest.approx(SHARES.shares)
    assert again(mixed, made) == candidate.model.graph


def test_a_version_that_stands_on_several_others_is_made_again_too(mixed):
    first, second = mixed.champion.base.version, mixed.champion.name
    mixed.spec = spec()  # the model of all rows is not due any more
    snapshot = mixed.fix(LONGER)
    candidate = mixed.make(snapshot, mixture=SHARES)
    assert candidate.bases == {"first": first, "all": second}
    assert list(candidate.refitted) == ["recent"]
    third = mixed.register(snapshot, candidate, mixed.judge(candidate))
    assert again(mixed, third) == candidate.model.graph
    longest = joined(LONGER, stream(60, slope=-3.0, seed=3))
    fourth = mixed.renew(longest, "correct", SHARES)
    assert fourth.lineage.bases == {"first": first, "recent": third.version, "all": second}
    assert again(mixed, fourth) == mixed.champion.graph


@pytest.mark.parametrize("depth", ["retrain", "correct"])
def test_the_same_bytes_come_of_the_recipe(pipeline, depth):
    snapshot = pipeline.fix(TURNED)
    candidate = pipeline.make(snapshot, depth, SHARES)
    made = pipeline.register(snapshot, candidate, pipeline.judge(candidate))
    assert again(pipeline, made) == candidate.model.graph


def test_the_first_version_comes_of_its_recipe_too(pipeline):
    made = pipeline.champion.version
    assert again(pipeline, made) == pipeline.champion.graph


def test_with_too_few_rows_for_small_models_a_retrain_has_none(pipeline):
    candidate = pipeline.make(pipeline.fix(joined(OLD, stream(25, seed=1))), mixture=SHARES)
    recipe = candidate.recipe
    assert (recipe.head_rows, recipe.judged_rows, recipe.bases) == (0, 25, {"recent": 300})
    assert recipe.shares == pytest.approx({"first": 0.7, "recent": 0.3})
    assert candidate.parity.ok


def test_the_family_that_is_declared_first_is_refitted_beside_one_that_was_better_at_first():
    """Models of two families err apart."""
    pipeline = Pipeline(spec(model={"estimators": ["hist_gradient_boosting", "linear"]}))
    pipeline.renew(OLD)
    assert pipeline.champion.base.lineage.estimator == "linear"
    snapshot = pipeline.fix(TURNED)
    candidate = pipeline.make(snapshot, mixture=SHARES)
    assert (candidate.estimator, candidate.anew) == ("hist_gradient_boosting", False)
    made = pipeline.register(snapshot, candidate, pipeline.judge(candidate))
    assert again(pipeline, made) == candidate.model.graph


def test_a_mixture_that_begins_anew_is_one_model_alone(mixed):
    mixed.spec = spec(model={"estimators": ["linear"]})
    snapshot = mixed.fix(LONGER)
    candidate = mixed.make(snapshot, mixture=SHARES)
    recipe = candidate.recipe
    assert (candidate.anew, candidate.rematch, candidate.rival) == (True, False, None)
    assert (recipe.bases, recipe.shares, recipe.head_rows) == ({"first": 700}, {}, 0)
    assert (recipe.trial_rows, recipe.judged_rows) == (620, 80)
    assert candidate.against == mixed.champion.name
    made = mixed.register(snapshot, candidate, mixed.judge(candidate))
    assert mixed.champion.base.version == made.version
    assert mixed.champion.mixture == Mixture.alone()
    assert again(mixed, made) == candidate.model.graph


def test_the_same_rows_again_are_a_match_of_two_trials(pipeline):
    pipeline.spec = spec(model={"estimators": ["linear"]})
    candidate = pipeline.make(pipeline.fix(OLD))
    recipe = candidate.recipe
    assert (recipe.trained_rows, recipe.trial_rows, recipe.judged_rows) == (300, 270, 30)
    assert candidate.rival.graph == pipeline.champion.trial.graph
    assert candidate.refusal is None
    relative = pipeline.judge(candidate).decision.checks[-1]
    assert "against the champion's trial on the same 30 rows" in relative.detail


def test_one_that_begins_anew_is_held_against_the_trial_that_a_mixture_began_with(pipeline):
    frame = joined(OLD, stream(40, slope=-3.0, seed=1))
    first = pipeline.champion
    pipeline.renew(frame, "correct")
    assert pipeline.divide(pipeline.fix(frame), "correct").refusal is not None
    pipeline.spec = spec(model={"estimators": ["linear"]})
    candidate = pipeline.make(pipeline.fix(frame))
    assert candidate.against == pipeline.champion.name != first.name
    assert (candidate.rematch, candidate.recipe.judged_rows) == (True, 70)
    assert candidate.rival.graph == first.trial.graph


def test_a_model_that_comes_out_the_same_again_is_refused_untried(pipeline):
    patient = {"estimators": ["hist_gradient_boosting"], "time_budget": "9m"}
    pipeline.spec = spec(model=patient)
    assert pipeline.make(pipeline.fix(OLD)).refusal.startswith("the same model again")
    pipeline.spec = spec(model=patient, ignore=["note"])
    assert pipeline.make(pipeline.fix(OLD)).refusal is None, "over other columns it is another"


def test_a_class_that_only_the_newest_rows_have_is_known_to_what_ships():
    rows = OLD.assign(y=(OLD["y"] > 0).map({True: "up", False: "down"}))
    rows.loc[rows.index[-5:], "y"] = "new"
    pipeline = Pipeline(spec(task="multiclass"))
    snapshot = pipeline.fix(rows)
    candidate = pipeline.make(snapshot)
    assert candidate.trial.signature.classes == ("down", "up")
    assert candidate.model.signature.classes == ("down", "new", "up")
    judgement = pipeline.judge(candidate)
    assert judgement.metrics.rows == 25
    assert judgement.answered.output.shape == (25, 3)
    assert judgement.answered.output[:, 1].tolist() == [0] * 25
    pipeline.register(snapshot, candidate, judgement)
    assert pipeline.champion.trial.signature.classes == ("down", "up")
    assert set(judgement.answered.y) == {0, 2}


def test_rows_of_a_class_that_the_champion_does_not_know_teach_a_correction_nothing():
    rows = OLD.assign(y=(OLD["y"] > 0).map({True: "up", False: "down"}))
    pipeline = Pipeline(spec(task="multiclass"))
    pipeline.renew(rows[:200])
    new = rows.assign(y=rows["y"].where(rows.index % 10 != 3, "new"))
    new = joined(rows[:200], new[200:])
    candidate = pipeline.make(unjudged(pipeline, new), "correct")
    assert candidate.model.signature.classes == ("down", "up")
    judgement = pipeline.judge(candidate)
    known = candidate.rows.to_judge["y"] != "new"
    assert judgement.metrics.rows == known.sum() < len(known)


@pytest.mark.parametrize(("depth", "fits", "standing"), [("correct", 2, 1), ("retrain", 3, 2)])
def test_the_work_is_counted(pipeline, depth, fits, standing):
    """``standing``: fits where small models stand already, so that none are fitted to be tried."""
    longer = joined(TURNED, stream(60, slope=-3.0, seed=2))
    for frame, expected in ((TURNED, fits), (longer, standing)):
        meter, snapshot = Meter(), pipeline.fix(frame)
        candidate = make_candidate(
            pipeline.snapshots.rows(snapshot.sha256),
            pipeline.spec,
            pipeline.divide(snapshot, depth),
            pipeline.champion,
            depth=depth,
            mixture=SHARES,
            meter=meter,
        )
        assert meter.fits == expected
        assert min(meter.cpu_seconds, candidate.cpu_seconds, candidate.seconds) > 0
        pipeline.register(snapshot, candidate, pipeline.judge(candidate))
