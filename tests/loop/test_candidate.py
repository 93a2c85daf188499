"""What is made: judged by a trial that has not seen the newest rows, shipped with all of them."""

from __future__ import annotations

import pytest

from perennial.evaluation.mixing import Mixture
from perennial.loop.candidate import make_again, make_candidate, trained_graph
from perennial.loop.meter import Meter
from perennial.loop.versions import answer
from perennial.registry.learned import learned_by, learned_by_base
from perennial.training.train import fit
from tests.loop.making import Pipeline, joined, spec, stream

OLD = stream(300)
TURNED = joined(OLD, stream(300, slope=-3.0, seed=1))


def again(pipeline, version):
    """The graph of a version, made from its recipe."""
    frame, lineage = pipeline.snapshots.rows(version.lineage.snapshot), version.lineage
    base = None if lineage.base is None else trained_graph(pipeline.champion)
    return make_again(frame, pipeline.spec, lineage, base)


@pytest.fixture
def pipeline():
    pipeline = Pipeline()
    pipeline.renew(OLD)
    return pipeline


def test_a_first_version_is_judged_by_a_trial_and_made_of_all_rows(pipeline):
    fresh = Pipeline()
    candidate = fresh.make(fresh.fix(OLD))
    recipe = candidate.recipe
    assert (recipe.trained_rows, recipe.trial_rows, recipe.judged_rows) == (300, 270, 30)
    assert candidate.trial.graph != candidate.model.graph
    alone = fit(OLD, fresh.spec, "hist_gradient_boosting", rounds=recipe.rounds)
    assert (answer(candidate.model.predictor, OLD)[:, 0]).tolist() == pytest.approx(
        alone.model.predict(*_inputs(candidate, OLD))[:, 0].tolist(), abs=1e-3
    )
    assert candidate.usual_rows == len(candidate.reference) == 300
    assert candidate.parity.ok
    version = pipeline.champion.version
    assert len(learned_by_base(pipeline.store, version, pipeline.snapshots)) == 300


def test_the_rows_that_judge_do_not_change_the_trial():
    changed = OLD.assign(y=OLD["y"].where(OLD.index < 270, 0.0))
    pipelines = [Pipeline(), Pipeline()]
    first, second = (
        p.make(p.snapshots.take(rows, source="", source_rows=300, from_source=300))
        for p, rows in zip(pipelines, (OLD, changed), strict=True)
    )
    assert first.trial.graph == second.trial.graph
    assert first.model.graph != second.model.graph


def test_a_new_base_whose_heads_have_earned_nothing_is_made_of_all_rows(pipeline, monkeypatch):
    monkeypatch.setattr("perennial.training.heads.heal.mix", lambda _trials: Mixture())
    snapshot = pipeline.fix(joined(OLD, stream(120, seed=1)))
    candidate = pipeline.make(snapshot)
    recipe = candidate.recipe
    assert (recipe.shares, recipe.head_rows) == ({}, 0)
    assert (recipe.trained_rows, recipe.trial_rows, recipe.judged_rows) == (420, 340, 40)
    assert candidate.model is candidate.base
    assert candidate.rival is not None, "the trial was judged with a head on it"
    made = pipeline.register(snapshot, candidate, pipeline.judge(candidate))
    assert len(learned_by_base(pipeline.store, made, pipeline.snapshots)) == 420
    assert again(pipeline, made) == candidate.model.graph


def test_with_too_few_rows_for_heads_a_new_base_is_made_of_all_rows(pipeline):
    candidate = pipeline.make(pipeline.fix(joined(OLD, stream(40, seed=1))))
    recipe = candidate.recipe
    assert (recipe.trained_rows, recipe.trial_rows, recipe.judged_rows) == (340, 300, 40)
    assert (candidate.rival, recipe.head_rows) == (None, 0)


def test_a_new_base_that_has_earned_heads_keeps_them_and_their_rows(pipeline):
    frame = joined(OLD, stream(90, slope=-3.0, seed=1))
    snapshot = pipeline.fix(frame)
    candidate = pipeline.make(snapshot)
    recipe = candidate.recipe
    assert recipe.shares
    assert (recipe.trained_rows, recipe.trial_rows, recipe.head_rows) == (310, 310, 80)
    assert candidate.model.graph != candidate.base.graph
    made = pipeline.register(snapshot, candidate, pipeline.judge(candidate))
    assert len(learned_by_base(pipeline.store, made, pipeline.snapshots)) == 310
    assert len(learned_by(pipeline.store, made, pipeline.snapshots)) == 390
    assert again(pipeline, made) == candidate.model.graph


def test_the_same_rows_again_are_a_match_of_two_trials(pipeline):
    pipeline.spec = spec(model={"estimators": ["linear"]})
    candidate = pipeline.make(pipeline.fix(OLD))
    recipe = candidate.recipe
    assert (recipe.trained_rows, recipe.trial_rows, recipe.judged_rows) == (300, 270, 30)
    assert candidate.rival.graph == pipeline.champion.trial.graph
    assert candidate.refusal is None
    relative = pipeline.judge(candidate).decision.checks[-1]
    assert "against the champion's trial on the same 30 rows" in relative.detail


def test_a_trial_that_had_a_head_is_kept_without_it(pipeline, monkeypatch):
    monkeypatch.setattr("perennial.training.heads.heal.mix", lambda _trials: Mixture())
    frame = joined(OLD, stream(120, seed=1))
    snapshot = pipeline.fix(frame)
    candidate = pipeline.make(snapshot)
    pipeline.register(snapshot, candidate, pipeline.judge(candidate))
    assert pipeline.champion.trial.graph == candidate.kept.graph != candidate.trial.graph
    again = pipeline.make(pipeline.fix(frame))
    assert (again.recipe.trial_rows, again.recipe.judged_rows) == (340, 80)
    assert again.rival.graph == again.trial.graph == candidate.kept.graph
    assert again.refusal.startswith("the same model again")


def test_a_new_base_is_held_against_the_trial_that_a_headed_champion_stands_on(pipeline):
    frame = joined(OLD, stream(40, slope=-3.0, seed=1))
    first = pipeline.champion
    pipeline.renew(frame, "correct")
    assert pipeline.divide(pipeline.fix(frame), "correct").refusal is not None
    candidate = pipeline.make(pipeline.fix(frame))
    assert candidate.against == pipeline.champion.name != first.name
    assert (candidate.rematch, candidate.recipe.judged_rows) == (True, 70)
    assert candidate.rival.graph == first.trial.graph


def test_a_base_with_heads_of_its_own_comes_out_the_same_too(pipeline):
    frame = joined(OLD, stream(90, slope=-3.0, seed=1))
    pipeline.renew(frame)
    assert pipeline.champion.version.lineage.recipe.head_rows
    candidate = pipeline.make(pipeline.fix(frame))
    assert (candidate.rematch, candidate.kept) == (False, None)
    assert candidate.refusal.startswith("the same model again")


def test_the_same_graph_over_other_columns_is_another_model(pipeline):
    assert pipeline.make(pipeline.fix(OLD)).refusal.startswith("the same model again")
    pipeline.spec = spec(ignore=["note"])
    assert pipeline.make(pipeline.fix(OLD)).refusal is None


@pytest.mark.parametrize("depth", ["recalibrate", "correct", "unhead"])
def test_a_head_is_judged_without_the_newest_rows_and_fitted_on_them_too(pipeline, depth):
    first = pipeline.champion
    candidate = pipeline.make(pipeline.fix(TURNED), depth)
    recipe = candidate.recipe
    assert (recipe.trained_rows, recipe.trial_rows, recipe.judged_rows) == (200, 160, 40)
    assert (candidate.stands_on, candidate.against) == (first.name, first.name)
    assert (candidate.model.graph == first.base_graph) == (depth == "unhead")
    assert candidate.parity.ok


@pytest.mark.parametrize("depth", ["retrain", "correct"])
def test_the_same_bytes_come_of_the_recipe(pipeline, depth):
    snapshot = pipeline.fix(TURNED)
    candidate = pipeline.make(snapshot, depth)
    made = pipeline.register(snapshot, candidate, pipeline.judge(candidate))
    assert again(pipeline, made) == candidate.model.graph


def test_the_first_version_comes_of_its_recipe_too(pipeline):
    made = pipeline.champion.version
    assert again(pipeline, made) == pipeline.champion.base_graph


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


def test_the_work_is_counted(pipeline):
    meter = Meter()
    snapshot = pipeline.fix(TURNED)
    frame, division = pipeline.snapshots.rows(snapshot.sha256), pipeline.divide(snapshot, "correct")
    candidate = make_candidate(
        frame,
        pipeline.spec,
        division,
        pipeline.champion,
        depth="correct",
        mixture=Mixture(correct=1.0),
        meter=meter,
    )
    assert meter.fits == 2
    assert 0 < meter.cpu_seconds <= candidate.cpu_seconds
    assert candidate.seconds > 0


def _inputs(candidate, frame):
    from perennial.packaging.predictor import encode_frame

    return encode_frame(candidate.model.signature, frame)
