"""Policies side by side: what the figures mean, and that nothing hangs on the number of cores."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from perennial.backtest.compare import POLICIES, backtest
from perennial.backtest.report import render_backtest
from perennial.backtest.result import Backtest
from perennial.errors import SourceError
from tests.backtest.playing import played, spec, stream

SPEC = spec()


def turning() -> pd.DataFrame:
    return stream(500, rows=1300)


@pytest.fixture(scope="module")
def found() -> Backtest:
    return backtest(turning(), SPEC, windows=12, jobs=2)


def test_every_policy_has_its_figures_and_a_decision_a_window(found: Backtest) -> None:
    assert tuple(found.policies) == POLICIES
    for result in found.policies.values():
        assert [d.window for d in result.decisions] == list(range(1, 13))
        assert result.fits > result.retrains
        assert result.cpu_seconds > 0
    assert found.policies["never"].recovered == 0
    assert found.policies["every"].recovered == 1
    assert found.policies["perennial"].recovered is not None
    assert found.policies["perennial"].recovered > 0.5


def test_hindsight_is_the_best_of_as_many_retrains(found: Backtest) -> None:
    best, mine = found.policies["hindsight"], found.policies["perennial"]
    assert best.retrains == mine.retrains
    assert found.policies["never"].loss >= best.loss


def test_at_every_price_hindsight_costs_no_more_than_never_or_its_own_count(
    found: Backtest,
) -> None:
    cost, policies = found.cost, found.policies
    assert cost is not None
    assert len(cost.alpha) == len(cost.perennial) == len(cost.hindsight)
    assert cost.hindsight_retrains[0] > 0
    for name in ("never", "hindsight"):
        own = policies[name].loss + np.array(cost.alpha) * policies[name].healing_cpu_seconds
        assert (np.array(cost.hindsight) <= own + 1e-9).all()


def test_it_is_json(found: Backtest) -> None:
    told = json.loads(found.model_dump_json())
    assert {"pipeline", "metric", "greater_is_better", "rows", "windows", "policies"} <= set(told)
    mine = told["policies"]["perennial"]
    assert set(mine["heals"]) == {"correct", "retrain"}
    assert mine["retrains"] == mine["heals"]["retrain"]


@pytest.mark.usefixtures("one_process")
def test_some_policies_alone(found: Backtest) -> None:
    told = backtest(turning(), SPEC, policies=["perennial"], windows=12, jobs=1)
    assert told.cost is None
    assert told.policies["perennial"].recovered is None
    assert told.policies["perennial"].score == found.policies["perennial"].score
    assert told.policies["perennial"].score == played(turning(), late=0).score


def test_windows_too_short_to_be_judged_are_refused_before_any_worker_starts() -> None:
    with pytest.raises(SourceError, match="ask for fewer windows"):
        backtest(turning().iloc[:200], SPEC, windows=16)


@pytest.mark.parametrize(("never", "every"), [(1.0, 1.0), (1.0, 1.2)])
def test_of_what_retraining_at_every_window_loses_nothing_is_recovered(
    found: Backtest, never: float, every: float
) -> None:
    assert found.caveat == ""
    scores = {"never": never, "every": every}
    policies = {
        name: result.model_copy(update={"score": scores.get(name, result.score), "recovered": None})
        for name, result in found.policies.items()
    }
    lost = found.model_copy(update={"policies": policies, "gains": False})
    mine = found.policies["perennial"].score
    assert lost.caveat == (
        "nothing to recover: retraining at every window gains nothing here, or no more than "
        f"chance may give (never {never:.4g}, every {every:.4g}); Perennial {mine:.4g}"
    )
    assert lost.caveat[1:] in render_backtest(lost)
    assert "recovered; 1 is a retrain" not in render_backtest(lost)
    assert json.loads(lost.model_dump_json())["caveat"] == lost.caveat


@pytest.mark.parametrize(
    ("mine", "every", "best", "told"),
    [(1.0, 1.1, 1.2, True), (1.0, 1.3, 1.2, False), (1.0, 1.1, 0.9, False)],
)
def test_a_hindsight_that_is_the_worst_is_explained(
    found: Backtest, mine: float, every: float, best: float, told: bool
) -> None:
    scores = {"perennial": mine, "every": every, "hindsight": best}
    policies = {
        name: found.policies.get(name, found.policies["every"]).model_copy(update={"score": score})
        for name, score in scores.items()
    }
    odd = found.model_copy(update={"policies": {**found.policies, **policies}})
    assert odd.about_hindsight.startswith("hindsight may retrain only as often") == told
    assert (odd.about_hindsight in render_backtest(odd)) or not told
