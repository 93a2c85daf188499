"""Whether a classifier can tell a window from the reference: it sees whatever trees can see.

A two-sample test by a classifier (Lopez-Paz & Oquab, "Revisiting classifier two-sample tests", ICLR
2017), by AUC on rows that it was not trained on. Windows of one unchanged stream can be told apart
too, so the AUC is held against that of the reference's own windows, each against the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from perennial.drift.columns import column_of
from perennial.drift.comparison import Comparison, judge, require
from perennial.drift.detector import ClassifierConfig, InputVerdict
from perennial.packaging.signature import Feature

_BLOCKS = 12
"""Windows of the reference that are tried, the newest at most."""
_PIECES = 10
_TREES, _LEAVES = 30, 7
_FEWEST = 20
"""With fewer rows on a side nothing is compared."""


class ClassifierDetector:
    """A classifier between window and reference, calibrated on the reference's own windows."""

    def __init__(
        self,
        config: ClassifierConfig,
        reference: pd.DataFrame,
        features: Sequence[Feature],
        *,
        window_rows: int,
    ) -> None:
        """Tell the reference's windows from one another; arguments as `MomentsDetector`.

        Raises:
            SourceError: the reference lacks a feature.
        """
        require(reference, features, "reference")
        self._config = config
        self._rows = len(reference)
        self._features = tuple(features)
        self._columns = [column_of(f, reference[f.name]) for f in features]
        self._step = max(1, -(-window_rows // config.max_rows))
        self._values = self._read(reference.iloc[:: self._step])
        self._usual = self._usual_scores(max(1, window_rows // self._step))

    def check(
        self,
        window: pd.DataFrame,
        *,
        output: NDArray[Any] | None = None,  # noqa: ARG002
        history: Sequence[InputVerdict] = (),
    ) -> InputVerdict:
        """As `perennial.drift.detector.Detector`; the output is not looked at."""
        require(window, self._features, "window")
        values = self._read(window.iloc[:: max(1, -(-len(window) // self._config.max_rows))])
        found = [self._compare(values)] if self._features else []
        return judge(
            self._config,
            found,
            rows=len(window),
            reference_rows=self._rows,
            history=history,
        )

    def _compare(self, values: NDArray[Any]) -> Comparison:
        if min(len(values), len(self._values)) < _FEWEST:
            return Comparison.blank("all features", "joint")
        score = self._score(values, self._values)
        usual = float(np.mean(self._usual)) if len(self._usual) else 0.5
        return Comparison(
            feature="all features",
            aspect="joint",
            test="classifier",
            statistic=score,
            p_value=self._p_value(score, len(values)),
            effect=max(0.0, 2 * (score - usual)),
            direction="reshaped",
            detail=f"a classifier tells it from the reference with AUC {score:.2f}, "
            f"the reference's own windows with {usual:.2f}",
            threshold=np.sqrt(self._config.effect_size),
            values=len(values),
        )

    def _p_value(self, score: float, rows: int) -> float:
        """One-sided; the spread is that of the reference's windows, at least sampling's."""
        from scipy.stats import t

        # Of the Mann-Whitney statistic on the half of the rows that is held out, without a change.
        sampling = np.sqrt(1 / (6 * max(rows // 2, 1)))
        blocks = len(self._usual)
        if blocks < 3:
            return float(t.sf((score - 0.5) / sampling, 1))
        spread = max(float(np.std(self._usual, ddof=1)), sampling) * np.sqrt(1 + 1 / blocks)
        return float(t.sf((score - np.mean(self._usual)) / spread, blocks - 1))

    def _usual_scores(self, block: int) -> NDArray[Any]:
        blocks = len(self._values) // block
        if blocks < 3 or block < _FEWEST or not self._features:
            return np.zeros(0)
        starts = [len(self._values) - block * (i + 1) for i in range(min(blocks, _BLOCKS))]
        scores = []
        for start in starts:
            inside = np.zeros(len(self._values), dtype=bool)
            inside[start : start + block] = True
            scores.append(self._score(self._values[inside], self._values[~inside]))
        return np.array(scores)

    def _score(self, window: NDArray[Any], rest: NDArray[Any]) -> float:
        """AUC on every other piece of both sides, of a model fitted on the pieces between."""
        from sklearn.ensemble import HistGradientBoostingClassifier

        from perennial.evaluation.metrics import score

        rest = rest[:: max(1, len(rest) // max(len(window), _FEWEST))]
        x = np.concatenate([window, rest])
        y = np.repeat([1, 0], [len(window), len(rest)])
        held = np.concatenate([_every_other_piece(len(window)), _every_other_piece(len(rest))])
        used = ~np.isnan(x[~held]).all(axis=0)
        if not used.any():
            return 0.5
        model = HistGradientBoostingClassifier(
            max_iter=_TREES,
            max_leaf_nodes=_LEAVES,
            early_stopping=False,
            random_state=self._config.seed,
        ).fit(x[~held][:, used], y[~held])
        output = model.predict_proba(x[held][:, used])[:, 1:]
        return score("auc", y[held], output)

    def _read(self, frame: pd.DataFrame) -> NDArray[Any]:
        columns = [column.read(frame[column.name]) for column in self._columns]
        return np.column_stack(columns) if columns else np.zeros((len(frame), 0))


def _every_other_piece(rows: int) -> NDArray[Any]:
    """Mask pieces rather than rows: neighbours resemble one another."""
    mask: NDArray[Any] = (np.arange(rows) * _PIECES // max(rows, 1)) % 2 == 1
    return mask
