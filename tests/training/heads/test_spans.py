from __future__ import annotations

import numpy as np

from perennial.evaluation.span import LOOK, TrainingSpan
from perennial.training.estimator import TrainingSet
from perennial.training.heads.spans import Spans


def test_a_long_span_is_tried_by_all_that_it_teaches_though_a_short_one_was_usual():
    rng = np.random.default_rng(0)
    x = rng.uniform(-3, 3, (3_400, 4))
    y = np.sin(2 * x[:, 0]) * x[:, 1] + rng.normal(scale=0.1, size=len(x))
    rows = TrainingSet("regression", "rmse", 1, x, np.empty((len(x), 0)), y)
    spans = Spans(
        rows.take(slice(0, 3_000)),
        rows.take(slice(3_000, 3_200)),
        rows.take(slice(3_200, None)),
        seed=0,
    )
    long, short = spans.losses(TrainingSpan(3_000), LOOK), spans.losses(TrainingSpan(200), LOOK)
    assert long is not None
    assert short is not None
    assert long.mean() < 0.7 * short.mean()
