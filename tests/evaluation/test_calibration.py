"""Probabilities that come true pass on few rows too; those that do not are found."""

from __future__ import annotations

import numpy as np
import pytest

from perennial.evaluation.calibration import calibration_error


@pytest.mark.parametrize("n", [40, 400, 10_000])
def test_honest_probabilities_are_calibrated(n: int) -> None:
    rng = np.random.default_rng(0)
    chance = rng.beta(2, 5, n)
    found = calibration_error((rng.random(n) < chance).astype(int), chance[:, None], 0.8)
    assert found.low <= 0.03
    assert found.low <= found.error


def test_boastful_probabilities_are_not() -> None:
    rng = np.random.default_rng(0)
    chance = rng.uniform(0.2, 0.8, 1000)
    boast = np.where(chance > 0.5, 0.99, 0.01)
    found = calibration_error((rng.random(1000) < chance).astype(int), boast[:, None], 0.8)
    assert found.low > 0.2


def test_several_classes_are_judged_by_the_one_voted_for() -> None:
    rng = np.random.default_rng(0)
    output = rng.dirichlet([1, 1, 1], 3000)
    y = np.array([rng.choice(3, p=row) for row in output])
    assert calibration_error(y, output, 0.8).low < 0.02
    assert calibration_error((y + 1) % 3, output, 0.8).low > 0.2
