"""Which rows a retrain learns from."""

from __future__ import annotations

import time

import pandas as pd
from prefect.logging import get_run_logger

from perennial.datasets.seen import rows_behind
from perennial.evaluation.span import TrainingSpan, choose_span, rows_since_rise
from perennial.loop.versions import metrics_of
from perennial.registry import Manifest, base_of, read_base, read_signature
from perennial.registry.learned import learned_by_base
from perennial.spec import PipelineSpec
from tasks.connection import store

_SHARE = 0.5
"""Of the time budget of a training, which may go by before no other span is tried."""


def choose_rows(
    frame: pd.DataFrame, spec: PipelineSpec, champion: Manifest, *, held: int, judged: int
) -> TrainingSpan:
    """Say which of the rows before those held teach best, as quick models show; see `choose_span`.

    Args:
        frame: labelled rows, in time order.
        champion: whose base tells since when its loss has risen.
        held: newest rows that the training must not see.
        judged: the newest of those, which the quick models are scored on.

    Raises:
        TrainingError: there is nothing to learn from.
        ModelError: the champion's base cannot be loaded or run.
    """
    from perennial.training.heads.spans import Spans
    from perennial.training.train import training_set

    started = time.monotonic()
    limit = _SHARE * spec.model.time_budget.total_seconds()
    end = len(frame) - held
    data = training_set(frame, spec)
    spans = Spans(
        data.take(slice(None, end)),
        data.take(slice(end, len(frame) - judged)),
        data.take(slice(len(frame) - judged, None)),
        seed=spec.model.seed,
    )
    choice = choose_span(
        end,
        spans.losses,
        usual=metrics_of(champion).usual_rows,
        risen=_rows_since_rise(frame.iloc[:end], spec, champion),
        in_time=lambda: time.monotonic() - started < limit,
    )
    get_run_logger().info("training on the newest %s of %s", choice.span, f"{end:,}")
    return choice.span


def _rows_since_rise(frame: pd.DataFrame, spec: PipelineSpec, champion: Manifest) -> int | None:
    """For how many of the newest rows the base of the champion has been worse than before, among
    those that it has not seen."""
    from perennial.packaging.predictor import Predictor
    from perennial.training.heads.heal import base_losses

    base = base_of(store(), champion)
    unseen = frame.iloc[len(frame) - rows_behind(frame, learned_by_base(store(), base)) :]
    predictor = Predictor(read_base(store(), base), read_signature(store(), base))
    return rows_since_rise(base_losses(unseen, spec, predictor)) if len(unseen) else None
