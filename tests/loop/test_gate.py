"""The gate judges the trial, and holds what would serve to what serving asks of it."""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
import pytest

from perennial.errors import ModelError
from perennial.evaluation.decision import Leak
from perennial.evaluation.metrics import prediction_shift, score
from perennial.loop.gate import judge_candidate
from perennial.loop.versions import answer
from tests.loop.making import Pipeline, joined, spec, stream


@pytest.fixture
def first():
    pipeline = Pipeline()
    return pipeline, pipeline.make(pipeline.fix(stream(300)))


def checks(judgement):
    return {check.name: check.verdict for check in judgement.decision.checks}


def test_the_figures_are_those_of_the_trial_on_rows_it_has_not_seen(first):
    pipeline, candidate = first
    judgement = pipeline.judge(candidate)
    rows = candidate.rows.to_judge
    expected = score("rmse", rows["y"].to_numpy(), answer(candidate.trial, rows))
    metrics = judgement.metrics
    assert judgement.passed
    assert (metrics.score, metrics.rows, metrics.trained_rows) == (expected, 30, 300)
    assert judgement.decision.scores.candidate == expected
    assert "servability" not in checks(judgement)


def test_without_a_server_servability_is_left_open_and_with_one_it_is_asked(first):
    pipeline, candidate = first

    class Asked:
        def ask(self, numeric, categorical):
            if self.broken:
                raise ModelError("it does not start")
            return candidate.model.predictor.predict(numeric, categorical).astype(np.float64)

        broken = False

    @contextmanager
    def serve(model, signature):
        assert (model, signature) == (candidate.model.graph, candidate.model.signature)
        yield server

    server = Asked()
    for server.broken, verdict in ((False, "passed"), (True, "refused")):
        judgement = judge_candidate(candidate, pipeline.spec, None, serve=serve)
        assert checks(judgement)["servability"] == verdict
        assert judgement.passed != server.broken


def test_one_that_learned_the_turn_beats_the_champion_that_did_not():
    pipeline = Pipeline()
    pipeline.renew(stream(300))
    champion = pipeline.champion
    turned = pipeline.fix(joined(stream(300), stream(300, slope=-3.0, seed=1)))
    candidate = pipeline.make(turned, "correct")
    judgement = pipeline.judge(candidate)
    assert judgement.passed
    assert judgement.metrics.against == champion.name
    assert judgement.metrics.change < -0.5, "half of the answer is the first model's still"
    assert judgement.metrics.shift > 0
    assert judgement.decision.scores.champion > judgement.decision.scores.candidate


def test_the_shift_is_that_of_what_would_serve():
    """Live rows are held against it, and the trial knows less of the new world."""
    pipeline = Pipeline()
    pipeline.renew(stream(300))
    snapshot = pipeline.fix(joined(stream(300), stream(100, shift=5.0, seed=1)))
    candidate = pipeline.make(snapshot, "correct")
    champion, held = pipeline.champion.served, candidate.rows.to_judge
    mine, trial = (
        prediction_shift(answer(champion, held), answer(model, held))
        for model in (candidate.model.predictor, candidate.trial)
    )
    assert pipeline.judge(candidate).metrics.shift == pytest.approx(mine)
    assert mine > trial


def test_what_comes_later_is_a_leak_of_what_would_serve(first):
    pipeline, candidate = first
    leak = Leak(kind="known_later", column="x", figure=1.0, detail="'x' is filled in later")
    judgement = judge_candidate(candidate, pipeline.spec, None, later=(leak,))
    assert checks(judgement)["leakage"] == "refused"


def test_a_column_that_tells_the_target_is_found():
    pipeline = Pipeline(spec())
    frame = stream(300).assign(told=lambda rows: 2 * rows["y"])
    judgement = pipeline.judge(pipeline.make(pipeline.fix(frame)))
    assert not judgement.passed
    assert [leak.column for leak in judgement.decision.leaks] == ["told"]
