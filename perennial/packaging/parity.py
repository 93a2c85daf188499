"""Whether a packaged model answers as its source model does.

Held against each other on real rows and on rows that training never showed: every feature missing
in turn, all missing, strings never seen, numbers far outside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perennial.packaging.predictor import Predictor
from perennial.packaging.signature import Signature

Columns = NDArray[Any] | None
SourcePredict = Callable[[Columns, Columns], NDArray[Any]]

RELATIVE_TOLERANCE = 1e-4
"""Of the spread of the source's answers."""
FLOAT32_TOLERANCE = 2e-6
"""Of their size: what float32 sums lose."""
REAL_ROWS = 2_000
ALTERED_ROWS = 100
UNSEEN = "never seen by any model"
FAR = 1e30


@dataclass(frozen=True)
class ParityCheck:
    """One kind of rows."""

    kind: str
    """Such as ``real rows`` or ``'wind_gust' missing``."""
    rows: int
    off: int
    """Rows beyond the tolerance."""
    max_abs: float
    max_relative: float
    """Largest difference as a share of the scale; infinite where an answer is no finite number."""


@dataclass(frozen=True)
class Parity:
    """Verdict on one packaged model."""

    checks: tuple[ParityCheck, ...]
    scale: float
    """Of the answers: 1 for probabilities, the standard deviation for values."""
    tolerance: float
    """Largest allowed difference, in units of the output."""

    @property
    def rows(self) -> int:
        """Rows in all checks."""
        return sum(check.rows for check in self.checks)

    @property
    def max_abs(self) -> float:
        """Largest difference in all checks."""
        return max(check.max_abs for check in self.checks)

    @property
    def max_relative(self) -> float:
        """Largest difference as a share of the scale."""
        return max(check.max_relative for check in self.checks)

    @property
    def share_off(self) -> float:
        """Share of all rows that are beyond the tolerance."""
        return sum(check.off for check in self.checks) / max(self.rows, 1)

    @property
    def ok(self) -> bool:
        """Whether no row is beyond the tolerance."""
        return all(check.off == 0 for check in self.checks)


def check_parity(
    model_bytes: bytes,
    signature: Signature,
    source_predict: SourcePredict,
    numeric: Columns,
    categorical: Columns,
) -> Parity:
    """Compare what serves with what was trained.

    Args:
        model_bytes: the packaged graph.
        signature: what it takes and gives.
        source_predict: the source model, float (rows, width) for the same two inputs.
        numeric: real rows, float32 (rows, numeric features); None where there are none.
        categorical: strings (rows, categorical features); None where there are none.

    Raises:
        ModelError: the graph cannot be loaded or run.
    """
    predictor = Predictor(model_bytes, signature)
    numeric, categorical = _evenly(numeric, REAL_ROWS), _evenly(categorical, REAL_ROWS)
    expected = source_predict(numeric, categorical)
    scale, tolerance = _tolerance(signature, expected)
    cases = [("real rows", numeric, categorical)]
    few = _evenly(numeric, ALTERED_ROWS), _evenly(categorical, ALTERED_ROWS)
    cases += _altered(signature, *few)
    checks = tuple(
        _compare(kind, source_predict(n, c), predictor.predict(n, c), scale, tolerance)
        for kind, n, c in cases
    )
    return Parity(checks, scale, tolerance)


def _tolerance(signature: Signature, expected: NDArray[Any]) -> tuple[float, float]:
    if signature.task != "regression":
        return 1.0, RELATIVE_TOLERANCE
    size = float(np.abs(expected).max(initial=0.0))
    scale = float(expected.std()) or size or 1.0
    return scale, RELATIVE_TOLERANCE * scale + FLOAT32_TOLERANCE * size


def _compare(
    kind: str,
    expected: NDArray[Any],
    given: NDArray[Any],
    scale: float,
    tolerance: float,
) -> ParityCheck:
    apart = np.abs(expected - given.astype(np.float64)).max(axis=1, initial=0.0)
    apart = np.where(np.isfinite(apart), apart, np.inf)
    largest = float(apart.max(initial=0.0))
    return ParityCheck(
        kind=kind,
        rows=len(apart),
        off=int((apart > tolerance).sum()),
        max_abs=largest,
        max_relative=largest / scale,
    )


def _altered(
    signature: Signature, numeric: Columns, categorical: Columns
) -> Iterator[tuple[str, Columns, Columns]]:
    """Make the rows that training never showed."""
    for j, name in enumerate(signature.numeric):
        yield f"{name!r} missing", _with(numeric, np.nan, j), categorical
    for j, name in enumerate(signature.categorical):
        yield f"{name!r} missing", numeric, _with(categorical, "", j)
        yield f"{name!r} unseen", numeric, _with(categorical, UNSEEN, j)
    yield "all features missing", _with(numeric, np.nan), _with(categorical, "")
    if categorical is not None:
        yield "all strings unseen", numeric, _with(categorical, UNSEEN)
    if numeric is not None:
        for far in (FAR, -FAR):
            yield f"all numbers {far:g}", _with(numeric, far), categorical


def _with(columns: Columns, value: float | str, index: int | None = None) -> Columns:
    """Copy columns with one of them, or all, set to a value."""
    if columns is None:
        return None
    changed = columns.copy()
    changed[:, slice(None) if index is None else index] = value
    return changed


def _evenly(columns: Columns, count: int) -> Columns:
    """Take at most ``count`` rows, spread evenly over all."""
    if columns is None or len(columns) <= count:
        return columns
    return columns[np.linspace(0, len(columns) - 1, count).astype(np.intp)]
