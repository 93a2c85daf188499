"""What a window says of one champion: its inputs, its labels, its loss, its members' errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from perennial.datasets.labels import Told, fewest_labels, labels_have_come
from perennial.datasets.stream import Window
from perennial.drift import build_detector, build_label_detector
from perennial.drift.decision import Verdicts
from perennial.drift.detector import InputVerdict
from perennial.drift.estimate import Answered, estimate_loss
from perennial.drift.loss import LossVerdict, check_loss
from perennial.drift.why import Explanation, explain
from perennial.evaluation.division import FEWEST_HEAD_ROWS
from perennial.evaluation.metrics import row_losses
from perennial.evaluation.mixing import MemberErrors
from perennial.evaluation.targets import encode_known
from perennial.loop.meter import Meter
from perennial.loop.places import PendingWindow, Stretch
from perennial.loop.ports import Stream
from perennial.loop.versions import Champion, answer, metrics_of, read_judged
from perennial.packaging.labels import LabelRule
from perennial.spec import PipelineSpec


@dataclass(frozen=True)
class Due:
    """A window whose labels have come, or should have."""

    stretch: Stretch
    frame: pd.DataFrame
    told: Told

    @property
    def labels(self) -> pd.Series:
        """One a row; None where none has come that can be used."""
        return self.told.values

    @property
    def enough(self) -> float:
        """Labels that it is judged by at least."""
        return fewest_labels(len(self.frame))

    def take(self, rows: NDArray[np.bool_]) -> Due:
        """Select rows by a mask."""
        faults = [fault for fault, kept in zip(self.told.faults, rows, strict=True) if kept]
        return replace(self, frame=self.frame[rows], told=Told(self.labels[rows], faults))


class Examiner:
    """Measures windows of about ``rows`` rows against one champion.

    Its loss is that of the version that answers. Inputs are held against what the newest of its
    models was trained on.
    """

    def __init__(
        self, spec: PipelineSpec, champion: Champion, rows: int, meter: Meter | None = None
    ) -> None:
        self._spec = spec
        self._meter = meter or Meter()
        self._champion = champion
        self.rule = LabelRule.of(champion.signature)
        self._predictor = champion.served
        self._metrics = champion.metrics
        self._reference = champion.reference
        # The reference is thinned out: as many of its rows make up a window's span as are left.
        share = len(self._reference) / max(metrics_of(champion.newest).trained_rows, 1)
        window_rows = max(1, round(rows * share))
        self._detector = build_detector(
            spec.policy,
            self._reference,
            self._predictor.signature.features,
            window_rows=window_rows,
            output=answer(self._predictor, self._reference),
        )
        y, _ = encode_known(self._reference[spec.target], self._predictor.signature)
        self._label_detector = build_label_detector(
            spec.policy,
            self._series(y),
            numeric=spec.task == "regression",
            window_rows=window_rows,
        )

    def inputs(self, window: Window, history: Sequence[InputVerdict]) -> InputVerdict:
        """Hold a window's features and the champion's answers to it against its reference.

        Args:
            history: verdicts on the windows since the champion took over.
        """
        output = answer(self._predictor, window.frame)
        return self._detector.check(window.frame, output=output, history=history)

    def explain(self, window: Window, seen: Sequence[Verdicts]) -> Explanation:
        """Say what is behind the shifts that the newest verdict confirms.

        Args:
            seen: what was learned in the windows since the champion took over, this one the last.
        """
        ratios = [v.ratio for look in seen for v in (*look.losses, look.estimated) if v is not None]
        return explain(
            [(look.window, look.input) for look in seen if look.input is not None],
            self._reference,
            window.frame,
            self._predictor.signature.features,
            losses=self._reference_losses(),
            ratio=ratios[-1] if ratios else None,
        )

    def _reference_losses(self) -> NDArray[Any]:
        """The champion's loss on each row of its reference (rows,), NaN where it is unknown."""
        losses = np.full(len(self._reference), np.nan)
        y, known = encode_known(self._reference[self._spec.target], self._predictor.signature)
        output = answer(self._predictor, self._reference[known])
        losses[known] = row_losses(self._spec.task, self._spec.metric, y, output)
        return losses

    def due(
        self,
        stream: Stream,
        pending: tuple[PendingWindow, ...],
    ) -> tuple[list[Due], tuple[PendingWindow, ...]]:
        """Find the windows whose labels have come.

        Returns:
            These, also such whose labels are mostly missing while as many of a later one have come:
            where only some rows are ever labelled, no more are waited for. And the windows that
            still wait for their labels.
        """
        known = [read_due(stream, w.stretch, self.rule) for w in pending]
        come = [int(w.labels.notna().sum()) for w in known]
        enough = labels_have_come(come, [len(window.frame) for window in known])
        newest = max((i for i, is_there in enumerate(enough) if is_there), default=-1)
        return known[: newest + 1], pending[newest + 1 :]

    def losses(self, due: Due) -> list[LossVerdict]:
        """Judge the champion's loss on a window's sound rows; nothing of next to none.

        The answers are computed anew, so that rows which an earlier champion answered tell about
        this one; the graph and the code are those of the server.
        """
        y, known = encode_known(due.labels, self._predictor.signature)
        if len(y) < due.enough:
            return []
        verdict = check_loss(
            due.stretch.window,
            self._metrics.promise,
            task=self._spec.task,
            metric=self._spec.metric,
            y=y,
            output=answer(self._champion.served, due.frame[known]),
            policy=self._spec.policy,
        )
        return [verdict]

    def unknown(self, due: Due) -> float:
        """Share of a window's labels that are of classes the champion has never seen."""
        told = int(due.labels.notna().sum())
        if self._spec.task == "regression" or not told:
            return 0.0
        return 1 - len(encode_known(due.labels, self._predictor.signature)[0]) / told

    def errors(self, due: Due, version: Champion, late: int) -> list[MemberErrors]:
        """Measure what the members of a version got wrong in a window; nothing of next to none.

        Args:
            version: that answered the window, of the same mixture.
            late: windows by which its labels came behind its end.
        """
        rows = self._labelled(due)
        if len(rows) < due.enough:
            return []
        y, _ = encode_known(rows[self._spec.target], version.signature)
        with self._meter.counted():
            return [version.errors(due.stretch.window, late, rows, y, self._spec)]

    def estimate(self, name: str, window: Window, known: Sequence[Due]) -> LossVerdict | None:
        """Say what loss a window without labels is likely to have; None: there is too little to
        go by.

        Args:
            known: the newest labelled windows that the first model was not trained on. While there
                are few, the rows that its gate had say too how wrong it is.
        """
        labelled = map(self._labelled, known)
        answered = [self._answered(rows) for rows in labelled if len(rows)]
        if sum(map(len, answered)) < FEWEST_HEAD_ROWS:
            answered = [read_judged(self._champion.store, self._champion.version), *answered]
        return estimate_loss(
            name,
            self._metrics.promise,
            Answered.together(answered),
            window.frame,
            answer(self._champion.served, window.frame),
            features=self._predictor.signature.features,
            spec=self._spec,
        )

    def _answered(self, rows: pd.DataFrame) -> Answered:
        y, _ = encode_known(rows[self._spec.target], self._predictor.signature)
        return Answered(rows, answer(self._champion.served, rows), y)

    def _labelled(self, due: Due) -> pd.DataFrame:
        """The rows whose truth the champion has terms for, with it."""
        _, known = encode_known(due.labels, self._predictor.signature)
        return due.frame[known].assign(**{self._spec.target: due.labels[known]})

    def labels(self, due: Due, history: Sequence[InputVerdict]) -> list[InputVerdict]:
        """Hold a window's labels against those of the reference; nothing of next to none.

        Args:
            history: verdicts on the labels of earlier windows.
        """
        y, _ = encode_known(due.labels, self._predictor.signature)
        if len(y) < due.enough:
            return []
        return [self._label_detector.check(self._series(y).to_frame(), history=history)]

    def _series(self, y: NDArray[Any]) -> pd.Series:
        """Truth as the label detector takes it: numbers, or names of classes."""
        classes = self._predictor.signature.classes
        values = y if self._spec.task == "regression" else [classes[int(i)] for i in y]
        return pd.Series(values, name=self._spec.target)


def read_due(stream: Stream, stretch: Stretch, rule: LabelRule) -> Due:
    """Read a window's rows, and what is known of their truth."""
    frame = stream.read(stretch.start, stretch.end)
    return Due(stretch, frame, stream.told(frame, rule))
