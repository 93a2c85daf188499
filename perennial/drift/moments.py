"""Windows against what the stream's own history predicts: the default detector.

Each feature, its missing rate, the champion's output and the correlations of all pairs are series
of window statistics (`perennial.drift.statistics`) whose next values the reference predicts
(`perennial.drift.baseline`). A feature's p-value comes from how far its statistics are from that
(`perennial.drift.scoring`); the false discovery rate over all features is held (Benjamini &
Hochberg, J. R. Stat. Soc. B 57, 1995). A significant shift only counts with an effect.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from perennial.drift.comparison import age_after, judge, require
from perennial.drift.detector import InputVerdict, MomentsConfig
from perennial.drift.sides import MIN_VALUES, Side, Watched
from perennial.drift.summary import Summary, add_up
from perennial.packaging.signature import Feature

_BLOCKS = 8
"""With fewer windows in it, a reference is cut into so many shorter pieces."""
_MOST_BLOCKS = 200


class MomentsDetector:
    """Statistics of windows against what the reference's own windows predict."""

    def __init__(
        self,
        config: MomentsConfig,
        reference: pd.DataFrame,
        features: Sequence[Feature],
        *,
        window_rows: int,
        output: NDArray[Any] | None = None,
        aspect: Watched = "values",
    ) -> None:
        """Learn what is usual.

        Args:
            config: levels.
            reference: what the champion was trained on (or evenly spaced rows of it), in time
                order.
            features: the columns to watch.
            window_rows: how many rows of the reference span as much of the stream as one window
                does; by this the reference is cut to see what is usual.
            output: the champion's output on the reference (rows, width); None: not watched.
            aspect: what the features are.

        Raises:
            SourceError: the reference lacks a feature.
        """
        require(reference, features, "reference")
        self._config = config
        self._rows = len(reference)
        self._features = tuple(features)
        bounds = _cut(len(reference), window_rows)
        at = (bounds[:-1] + bounds[1:]) / 2 / window_rows
        self._next = len(reference) / window_rows + 0.5
        self._sides = [Side.of(reference, features, bounds, at, aspect)]
        if output is not None:
            self._sides.append(Side.of(*_outputs(output), bounds, at, "prediction"))

    def check(
        self,
        window: pd.DataFrame,
        *,
        output: NDArray[Any] | None = None,
        history: Sequence[InputVerdict] = (),
    ) -> InputVerdict:
        """As `perennial.drift.detector.Detector`."""
        return self.check_parts([(window, output)], history=history)

    def check_parts(
        self,
        parts: Iterable[tuple[pd.DataFrame, NDArray[Any] | None]],
        *,
        history: Sequence[InputVerdict] = (),
    ) -> InputVerdict:
        """Compare a window that is read piece by piece, each with the champion's output on it.

        Raises:
            SourceError: a piece lacks a feature.
            TypeError: there is no piece.
        """
        summaries: list[list[Summary]] = [[] for _ in self._sides]
        for frame, output in parts:
            require(frame, self._features, "window")
            summaries[0].append(self._sides[0].summarise(frame))
            if output is not None and len(self._sides) > 1:
                summaries[1].append(self._sides[1].summarise(_outputs(output)[0]))
        at = self._next + age_after(history)
        found = [
            comparison
            for side, of_side in zip(self._sides, summaries, strict=True)
            if of_side
            for comparison in side.compare(add_up(of_side), at, history, self._config.persistence)
        ]
        rows = int(sum(summary.rows[0] for summary in summaries[0]))
        return judge(self._config, found, rows=rows, reference_rows=self._rows, history=history)


def _cut(rows: int, window_rows: int) -> NDArray[Any]:
    """Cut the newest rows of a reference into windows, or into pieces where it holds only a few."""
    blocks = rows // max(window_rows, 1)
    if blocks < _BLOCKS:
        blocks = min(_BLOCKS, max(rows // MIN_VALUES, 1))
        return rows * np.arange(blocks + 1) // blocks
    blocks = min(blocks, _MOST_BLOCKS)
    return rows - window_rows * np.arange(blocks, -1, -1)


def _outputs(output: NDArray[Any]) -> tuple[pd.DataFrame, tuple[Feature, ...]]:
    names = ["output"] if output.shape[1] == 1 else [f"{i}" for i in range(output.shape[1])]
    features = tuple(Feature(name=name, kind="numeric") for name in names)
    return pd.DataFrame(output, columns=names), features
