"""What a statistic of the next window will be if nothing changes, learned from earlier windows.

A textbook p-value takes rows for independent. In a stream they are not: windows of one
autocorrelated or seasonal stream differ by far more than sampling error. So each statistic is a
series, window by window, and the next value is held against a prediction interval of that series:

- a mean, or a line where the slope is significant although neighbouring residuals resemble one
  another (Santer et al., "Statistical significance of trends and trend differences in layer-average
  atmospheric temperature time series", J. Geophys. Res. 105, 2000: an effective number of windows);
- where that leaves residuals which resemble one another (a season longer than the reference, a
  random walk), the last value, and how far apart windows have been at that distance (the variogram:
  Matheron, "Principles of geostatistics", Economic Geology 58, 1963);
- a variance between windows, as a multiple of what independent rows would give. A reference of a
  dozen windows says little of it, so it is drawn towards that of like statistics of the other
  features (Smyth, "Linear models and empirical Bayes methods for assessing differential
  expression", Stat. Appl. Genet. Mol. Biol. 3, 2004), as far as these agree;
- Student's t with the degrees of freedom that follow.

Chance makes some of many series look like a line, or like one that wanders; among those that are
alike the rate of such false discoveries is held (Benjamini & Hochberg, J. R. Stat. Soc. B 57,
1995).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[Any]

_DISCOVERIES = 0.2
"""So many of the like series that are taken for a line, or for one that wanders, may be neither.

A trend overlooked is an alarm for ever after, one imagined only a wider interval."""
_DOUBT = 0.5
"""A line is expected to go on, give or take so much of its slope: a season's rise ends."""
_LEAST_WINDOWS = 3.0
_LEAST_DISPERSION = 0.25
_STILL = 0.05
"""What varies by so small a part of what chance does hardly varies (a category nobody uses)."""
_MANY = 1e6
_CONSTANT = 1e-12


@dataclass(frozen=True)
class Series:
    """K statistics of B windows, the oldest first.

    ``rows`` is how many rows stand behind each value, 0 where there is none.
    """

    values: Floats
    """(B, K)."""
    rows: Floats
    """(B, K)."""
    at: Floats
    """(B,): where each window lies in time, in windows."""

    def followed_by(self, other: Series) -> Series:
        """Append later windows."""
        return Series(
            np.vstack([self.values, other.values]),
            np.vstack([self.rows, other.rows]),
            np.concatenate([self.at, other.at]),
        )


@dataclass(frozen=True)
class Prediction:
    """Where a new window's statistics should lie: Student's t, each (K,)."""

    mean: Floats
    stderr: Floats
    freedom: Floats

    def score(self, values: Floats) -> tuple[Floats, Floats]:
        """Give how many standard errors values (K,) are off, and two-sided p-values."""
        from scipy.stats import t

        with np.errstate(invalid="ignore"):
            scores = np.where(self.freedom > 0, (values - self.mean) / self.stderr, 0.0)
        return scores, np.where(self.freedom > 0, 2 * t.sf(np.abs(scores), self.freedom), 1.0)


def predict(
    series: Series,
    unit: Floats,
    group: NDArray[Any],
    *,
    at: float,
    rows: Floats,
    windows: int = 1,
) -> Prediction:
    """Predict the statistics of a new window, or their means over several.

    Args:
        series: the windows known.
        unit: (K,) variance of each statistic for a single row, were rows independent.
        group: (K,) which statistics are alike; their dispersions are drawn towards each other.
        at: where the new window lies, or the middle of several.
        rows: (K,) how many rows they have; 0: there is no prediction (no freedom).
        windows: how many they are.
    """
    fit = _fit(series, unit, group)
    dispersion, freedom = _moderate(fit.dispersion, fit.freedom, group)
    dispersion = np.maximum(dispersion, 1.0)
    known = (fit.windows >= 2) & (rows > 0)
    count = np.where(known, rows, 1.0)
    between = (dispersion - 1) / fit.mean_rows / windows + 1 / count
    leverage = 1 / fit.weight + np.where(fit.trends, (at - fit.centre) ** 2 / fit.spread, 0.0)
    mean = fit.mean + np.where(fit.trends, fit.slope * (at - fit.centre), 0.0)
    doubt = np.where(fit.trends, _DOUBT * fit.slope * (at - fit.last), 0.0)
    stderr = np.sqrt(unit * (between + dispersion * leverage) + doubt**2)
    for k in np.flatnonzero(fit.wanders & known):
        mean[k], stderr[k] = _wander(series, int(k), at, float(np.sqrt(2 * unit[k] / count[k])))
        freedom[k] = _MANY
    return Prediction(mean, stderr, np.where(known, np.minimum(freedom, _MANY), 0.0))


@dataclass(frozen=True)
class _Fit:
    """A weighted line through each series; each (K,)."""

    windows: Floats
    weight: Floats
    mean_rows: Floats
    mean: Floats
    centre: Floats
    last: Floats
    """Where the last known window lies."""
    spread: Floats
    slope: Floats
    trends: NDArray[Any]
    wanders: NDArray[Any]
    """Neither a mean nor a line: what is left resembles what was left a window before."""
    dispersion: Floats
    freedom: Floats


def _fit(series: Series, unit: Floats, group: NDArray[Any]) -> _Fit:
    from scipy.stats import t

    w, y, at = series.rows, np.where(series.rows > 0, series.values, 0.0), series.at[:, None]
    windows = (w > 0).sum(axis=0).astype(np.float64)
    weight = np.maximum(w.sum(axis=0), 1e-9)
    mean, centre = (w * y).sum(axis=0) / weight, (w * at).sum(axis=0) / weight
    spread = np.maximum((w * (at - centre) ** 2).sum(axis=0), 1e-9)
    slope = (w * (at - centre) * (y - mean)).sum(axis=0) / spread
    scale = np.sqrt(w / unit)
    level = scale * (y - mean)
    line = scale * (y - mean - slope * (at - centre))
    of_level, of_line = (_effective(left, windows, group) for left in (level, line))
    freedom = of_line - 2
    certain = windows > 3
    error = np.sqrt((line**2).sum(axis=0) / np.maximum(freedom, 0.5) * unit / spread)
    with np.errstate(divide="ignore", invalid="ignore"):
        strength = np.where(error > 0, np.abs(slope) / error, 0.0)
    chance = 2 * t.sf(strength, np.maximum(freedom, 1))
    trends = _discovered(np.where(certain & (freedom >= 1), chance, 1.0), group)
    freedom = np.where(trends, freedom, np.maximum(of_level - 1, 1.0))
    residual = np.where(trends, (line**2).sum(axis=0), (level**2).sum(axis=0))
    return _Fit(
        windows=windows,
        weight=weight,
        mean_rows=weight / np.maximum(windows, 1),
        mean=mean,
        centre=centre,
        last=np.where(w > 0, at, -np.inf).max(axis=0, initial=0.0),
        spread=spread,
        slope=slope,
        trends=trends,
        wanders=np.where(trends, of_line, of_level) < windows,
        dispersion=residual / freedom,
        freedom=freedom,
    )


def _wander(series: Series, k: int, at: float, least: float) -> tuple[float, float]:
    """The last known value, and by how much windows as far apart have differed.

    Beyond half the length of the series, the square of it grows with the distance.
    """
    known = series.rows[:, k] > 0
    y, times = series.values[known, k], series.at[known]
    spacing, ahead = float(np.median(np.diff(times))), at - float(times[-1])
    lag = int(np.clip(round(ahead / spacing), 1, max(len(y) // 2, 1)))
    apart = float(np.mean((y[lag:] - y[:-lag]) ** 2)) * max(1.0, ahead / (lag * spacing))
    return float(y[-1]), max(float(np.sqrt(apart)), least)


def _effective(residuals: Floats, windows: Floats, group: NDArray[Any]) -> Floats:
    """As how many independent windows the residuals (B, K) count.

    Fewer than they are where the first autocorrelation is more than chance makes it.
    """
    from scipy.stats import norm

    total = (residuals**2).sum(axis=0)
    alike = (residuals[1:] * residuals[:-1]).sum(axis=0) / np.maximum(total, _CONSTANT)
    chance = np.where(total > _CONSTANT, norm.sf(alike * np.sqrt(windows)), 1.0)
    alike = np.where(_discovered(chance, group), np.maximum(alike, 0.0), 0.0)
    effective = windows * (1 - alike) / (1 + alike)
    bounded: NDArray[Any] = np.minimum(windows, np.maximum(effective, _LEAST_WINDOWS))
    return bounded


def _discovered(p_values: Floats, group: NDArray[Any]) -> NDArray[Any]:
    """Which p-values (K,) count among those that are alike; 1 stands for none."""
    from scipy.stats import false_discovery_control

    found = np.zeros(len(p_values), dtype=bool)
    for g in np.unique(group):
        of = (group == g) & (p_values < 1)
        if of.any():
            found[of] = false_discovery_control(p_values[of]) < _DISCOVERIES
    return found


def _moderate(dispersion: Floats, freedom: Floats, group: NDArray[Any]) -> tuple[Floats, Floats]:
    """Draw each dispersion towards those of its group (Smyth 2004, equations 5 to 7).

    A series that hardly varies says nothing of how the others do.
    """
    from scipy.special import digamma, polygamma

    dispersion, freedom = dispersion.copy(), freedom.copy()
    floored = np.maximum(dispersion, _LEAST_DISPERSION)
    for g in np.unique(group):
        of = (group == g) & (dispersion > _STILL)
        if of.sum() < 3:
            continue
        half = freedom[of] / 2
        logs = np.log(floored[of]) - digamma(half) + np.log(half)
        excess = float(np.var(logs, ddof=1) - np.mean(polygamma(1, half)))
        prior = 2 * _inverse_trigamma(excess) if excess > 0 else _MANY
        centre = float(np.exp(np.mean(logs) + digamma(prior / 2) - np.log(prior / 2)))
        dispersion[of] = (prior * centre + freedom[of] * floored[of]) / (prior + freedom[of])
        freedom[of] += prior
    return dispersion, freedom


def _inverse_trigamma(value: float) -> float:
    """Solve trigamma(y) = value by Newton's method, as Smyth (2004, appendix) does."""
    from scipy.special import polygamma

    y = 0.5 + 1 / value
    for _ in range(50):
        trigamma = float(polygamma(1, y))
        step = trigamma * (1 - trigamma / value) / float(polygamma(2, y))
        y += step
        if abs(step) < 1e-8 * y:
            break
    return y
