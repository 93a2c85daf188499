"""Intervals of means hold what they promise, also where neighbours agree."""

from __future__ import annotations

import numpy as np
import pytest

from perennial.evaluation.metrics import score
from perennial.evaluation.paired import batch_mean, paired_losses


def coverage(samples: list[np.ndarray], confidence: float) -> float:
    hits = [low <= 0 <= high for low, high in (batch_mean(s).interval(confidence) for s in samples)]
    return float(np.mean(hits))


@pytest.mark.parametrize("n", [30, 300, 3000])
def test_an_interval_covers_the_mean_of_independent_rows(n: int) -> None:
    rng = np.random.default_rng(0)
    assert coverage([rng.normal(size=n) for _ in range(400)], 0.8) == pytest.approx(0.8, abs=0.06)


def test_an_interval_covers_the_mean_of_dependent_rows() -> None:
    rng = np.random.default_rng(0)

    def walk() -> np.ndarray:
        noise = rng.normal(size=1000)
        for i in range(1, len(noise)):
            noise[i] += 0.8 * noise[i - 1]
        return noise

    assert coverage([walk() for _ in range(300)], 0.8) > 0.7


def test_a_single_row_says_nothing() -> None:
    assert batch_mean(np.array([3.0])).interval(0.8) == (-np.inf, np.inf)


def test_no_rows_have_no_mean() -> None:
    with pytest.raises(ValueError, match="at least one row"):
        batch_mean(np.zeros(0))


def test_ranking_losses_average_to_one_minus_auc() -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 500)
    output = np.round(rng.random((500, 1)) + 0.3 * y[:, None], 1)
    losses = paired_losses("binary", "auc", y, output)
    assert losses.mean() == pytest.approx(1 - score("auc", y, output))


def test_ranking_losses_spread_as_auc_does() -> None:
    rng = np.random.default_rng(0)
    scores, errors = [], []
    for _ in range(300):
        y = (rng.random(200) < 0.3).astype(int)
        output = rng.normal(size=(200, 1)) + y[:, None]
        scores.append(score("auc", y, output))
        errors.append(paired_losses("binary", "auc", y, output).std() / np.sqrt(200))
    assert np.mean(errors) == pytest.approx(np.std(scores), rel=0.15)


def test_ranking_of_one_class_falls_back_to_log_loss() -> None:
    y, output = np.ones(4, dtype=int), np.full((4, 1), 0.5)
    assert paired_losses("binary", "auc", y, output).mean() == pytest.approx(np.log(2))


def test_balanced_losses_average_to_one_minus_balanced_accuracy() -> None:
    rng = np.random.default_rng(0)
    y = rng.choice(3, 300, p=[0.8, 0.15, 0.05])
    output = rng.dirichlet(np.ones(3), 300)
    losses = paired_losses("multiclass", "balanced_accuracy", y, output)
    assert losses.mean() == pytest.approx(1 - score("balanced_accuracy", y, output))
