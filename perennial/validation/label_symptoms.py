"""What speaks for a broken pipe in the labels.

A world that changed can be learned anew: within the window, features still tell the label, and
labels still resemble their neighbours. Labels that were flipped are noise to every model, the old
one and one learned in the window alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from perennial.evaluation.yardstick import encode_target, raw_features, target_classes
from perennial.spec import PipelineSpec
from perennial.validation.cause import Cause
from perennial.validation.past import Values, worst

_FEWEST = 60
_ROWS = 1_500
"""Rows that a model is learned from; more are thinned out evenly."""
_OLD_ROWS = 6_000
_LEAST = 0.02
_SHARES = np.linspace(0.0, 0.99, 100)
_CLEARLY = 2.0
"""Natural logarithm of a ratio of likelihoods: 95% by Wilks' theorem."""
_TURNED, _MOSTLY = 0.15, 0.8
"""For classes, how many labels must look turned: that share, and clearly more than in that share of
the past windows."""
_HALF, _MOST = 0.5, 0.75
"""As `_KEPT` and `_EACH`, where labels look turned."""
_KEPT, _EACH = 0.4, 0.55
"""A third of flipped labels leaves about a third of a signal, and less of what neighbours tell.
With more left, on the mean or of any one signal, nothing is said."""
_WINDOWS = 6
"""Windows whose signals must be known."""
_SIGNAL = 0.1
"""A signal below this cannot be seen to shrink."""


@dataclass(frozen=True)
class Signals:
    """How much is in a window's labels, each 0 (nothing) to 1."""

    neighbours: float
    """How labels resemble the ones before."""
    within: float
    """What a model learned on one half of the window tells of the other, and back."""
    before: float
    """What a model learned on the windows before tells."""
    noise: float
    """What the model learned within cannot tell: root mean square, of a value or of indicators."""
    typical: float
    """Median size of the error of the model learned before, for regression."""
    turned: tuple[float, float] = (0.0, 0.0)
    """For classes: the share of labels that were made another one, if all else is as the model
    learned before has it, and its lower bound."""

    def figures(self) -> Values:
        """The first three."""
        return np.array([self.neighbours, self.within, self.before])


def late(missing: Sequence[float], now: Values) -> Iterator[Cause]:
    """Far more labels absent than ever once they are due."""
    share = float(np.isnan(now).mean()) if len(now) else 0.0
    usual = worst(missing)
    if share > min(1.5 * usual + 0.1, 0.95):
        yield Cause(
            kind="labels_late",
            detail=f"{share:.0%} of the labels have not come, {usual:.0%} at most in the past; "
            "where the truth comes that late, pipeline.yaml says so: labels: {delay: ...}",
        )


def measure(
    frame: pd.DataFrame, labels: pd.Series, before: pd.DataFrame, spec: PipelineSpec
) -> Signals | None:
    """Measure the signals in a window's labels; None where there are too few.

    Args:
        labels: of the window's rows, None or NaN where absent.
        before: labelled rows of the windows before.
    """
    rows = frame.assign(**{spec.target: labels.to_numpy()})
    rows = rows[rows[spec.target].notna()].reset_index(drop=True)
    if len(rows) < _FEWEST or len(before) < _FEWEST or rows[spec.target].nunique() < 2:
        return None
    before = before[before[spec.target].notna()]
    everything = pd.concat([before[spec.target], rows[spec.target]])
    classes = () if spec.task == "regression" else target_classes(everything)
    y = encode_target(rows[spec.target], spec, classes).astype(float)
    few = rows.iloc[:: -(-len(rows) // _ROWS)]
    old = before.iloc[:: -(-len(before) // _OLD_ROWS)]
    y_few, y_old = (encode_target(part[spec.target], spec, classes) for part in (few, old))
    names = [
        f.name
        for f in raw_features(old, spec)
        if f.name in rows.columns and not f.name.startswith("_")  # the log's own columns
    ]
    part = np.arange(len(few)) // max(1, len(few) // 10) % 2 == 0
    output = np.zeros((len(few), max(len(classes), 1)))
    for half in (part, ~part):
        output[half] = Additive.fit(few[~half], y_few[~half], names, classes).predict(few[half])
    theirs = Additive.fit(old, y_old, names, classes).predict(few)
    truth = np.eye(len(classes))[y_few] if classes else y_few[:, None]
    return Signals(
        neighbours=_neighbours(y),
        within=_association(y_few, output, spec),
        before=_association(y_few, theirs, spec),
        noise=float(np.sqrt(np.mean((output - truth) ** 2))),
        typical=float(np.median(np.abs(theirs - truth))),
        turned=turned(y_few, theirs) if classes else (0.0, 0.0),
    )


def turned(y: Values, scores: Values) -> tuple[float, float]:
    """Estimate the share of labels that were made another class, by likelihood.

    A label is as the scores say, or, with the probability that is estimated, any other.

    Args:
        y: indices of classes (rows,).
        scores: of the classes (rows, classes), about 1 in sum.

    Returns:
        The likeliest share, and the least that is not clearly less likely.
    """
    chance = np.clip(scores, _LEAST, 1.0)
    chance /= chance.sum(axis=1, keepdims=True)
    own = np.clip(chance[np.arange(len(y)), y.astype(int)], _LEAST, 1 - _LEAST)
    other = (1 - own) / max(scores.shape[1] - 1, 1)
    likelihood = np.log(own + np.outer(_SHARES, other - own)).sum(axis=1)
    best = int(likelihood.argmax())
    near = np.flatnonzero(likelihood >= likelihood[best] - _CLEARLY)
    return float(_SHARES[best]), float(_SHARES[near[0]])


@dataclass(frozen=True)
class Additive:
    """Ridge regression on features cut into steps: quick, and enough to see a signal shrink."""

    steps: dict[str, Values | dict[object, int]]
    weights: Values

    @classmethod
    def fit(
        cls, frame: pd.DataFrame, y: Values, names: list[str], classes: tuple[str, ...]
    ) -> Additive:
        """Fit to values (rows,), or to the indices of classes."""
        steps = {name: _steps(frame[name]) for name in names}
        x = _design(frame, steps)
        truth = np.eye(len(classes))[y.astype(int)] if classes else y.astype(float)[:, None]
        gram = x.T @ x + np.diag([1e-6, *np.full(x.shape[1] - 1, 5.0)])
        return cls(steps, np.linalg.solve(gram, x.T @ truth))

    def predict(self, frame: pd.DataFrame) -> Values:
        """Give (rows, 1) values, or a score a class."""
        answers: Values = _design(frame, self.steps) @ self.weights
        return answers


def _steps(column: pd.Series) -> Values | dict[object, int]:
    if pd.api.types.is_numeric_dtype(column.dtype):
        values: Values = column.dropna().to_numpy(dtype=np.float64)
        if len(values):
            values = np.unique(np.quantile(values, np.arange(1, 12) / 12))
        return values
    common = column.value_counts().index[:24]
    return {level: number for number, level in enumerate(common)}


def _design(frame: pd.DataFrame, steps: dict[str, Values | dict[object, int]]) -> Values:
    """One column for the level and one a step of each feature, with one for missing or rare."""
    parts = [np.ones((len(frame), 1))]
    for name, known in steps.items():
        column = frame[name]
        if isinstance(known, dict):
            place = column.map(known).fillna(len(known)).to_numpy(dtype=np.intp)
            width = len(known) + 1
        else:
            values = pd.to_numeric(column, errors="coerce").to_numpy(np.float64, na_value=np.nan)
            place = np.searchsorted(known, values, side="left")
            place, width = np.where(np.isnan(values), len(known) + 1, place), len(known) + 2
        parts.append(np.eye(width)[place])
    return np.concatenate(parts, axis=1)


def _neighbours(y: Values) -> float:
    if len(np.unique(y)) > 20:
        return _correlation(y[1:], y[:-1])
    return _correlation_of_classes(y[1:], y[:-1])


def _association(y: Values, output: Values, spec: PipelineSpec) -> float:
    """Correlation of labels and answers; for several classes the agreement beyond chance."""
    if spec.task == "multiclass":
        return _correlation_of_classes(y.astype(float), output.argmax(axis=1).astype(float))
    return _correlation(y.astype(float), output[:, -1])


def _correlation(a: Values, b: Values) -> float:
    if np.std(a) == 0 or np.std(b) == 0:
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])


def _correlation_of_classes(a: Values, b: Values) -> float:
    """Cohen's kappa."""
    levels = np.unique(np.concatenate([a, b]))
    chance = sum((a == level).mean() * (b == level).mean() for level in levels)
    return float(((a == b).mean() - chance) / (1 - chance)) if chance < 1 else 0.0


def flipped(past: Sequence[Signals], now: Signals | None, *, is_value: bool) -> Iterator[Cause]:
    """All signals that there were have shrunk at once, and labels look mixed up as hardly before.

    Less signal alone may be a calmer world, labels that contradict the old model a changed one; but
    a changed world can be learned anew, and its labels go on as their neighbours do.
    """
    if now is None or len(past) < _WINDOWS:
        return
    known = np.array([signals.figures() for signals in past])
    usual = np.median(known, axis=0)
    counts = usual > _SIGNAL
    if not counts.any():
        return
    left = np.abs(now.figures()[counts]) / usual[counts]
    if is_value:
        kept = known[:, counts] / usual[counts]
        are_mixed = _noise_is_new(past, now) and left.mean() < min(_KEPT, kept.mean(axis=1).min())
        are_less = left.max() < _EACH
    else:
        share, least = now.turned
        usually = float(np.quantile([signals.turned[0] for signals in past], _MOSTLY))
        are_mixed = least > usually and _TURNED <= share <= _HALF
        are_less = left.mean() < _HALF and left.max() < _MOST
    if are_mixed and are_less:
        who = "labels" if is_value else f"{now.turned[0]:.0%} of the labels look turned: they"
        yield Cause(
            kind="labels_flipped",
            detail=f"{who} keep {left.mean():.0%} of what ties them to the features and to their "
            "neighbours, and no model learns them anew",
        )


def _noise_is_new(past: Sequence[Signals], now: Signals) -> bool:
    """More is left unexplained than ever, and yet most errors are as before: of flipped labels two
    thirds are, a noisier world moves them all."""
    lately = max(signals.typical for signals in past[-_WINDOWS:])
    return now.noise > 1.1 * max(s.noise for s in past) and now.typical <= 2.5 * lately
