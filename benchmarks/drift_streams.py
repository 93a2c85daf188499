"""Synthetic streams of ten features: without a change that matters, and with one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.signal import lfilter
from scipy.stats import norm

from perennial.packaging.signature import Feature

REFERENCE_WINDOWS = 12
NUMERIC = 9
SHARES = (0.5, 0.3, 0.2)
FEATURES = (
    *(Feature(name=f"x{i}", kind="numeric") for i in range(NUMERIC)),
    Feature(name="place", kind="categorical"),
)
CORRELATION = 0.8
RHO = 0.9

Rng = np.random.Generator


@dataclass(frozen=True)
class Scenario:
    """A stream: ``make(rng, rows_a_window, windows, change)``, the change in window ``change``."""

    name: str
    make: Callable[[Rng, int, int, int], pd.DataFrame]
    within: int | None = None
    """Windows within which its change is to be confirmed; None: there is nothing to confirm."""


def _latent(rng: Rng, rows: int, rho: float = 0.0) -> NDArray[Any]:
    """Standard normal columns, the first two correlated."""
    z = rng.standard_normal((rows, NUMERIC + 1))
    if rho:
        z[0] /= np.sqrt(1 - rho**2)
        z = lfilter([np.sqrt(1 - rho**2)], [1, -rho], z, axis=0)
    z[:, 1] = CORRELATION * z[:, 0] + np.sqrt(1 - CORRELATION**2) * z[:, 1]
    return z


def _frame(z: NDArray[Any], shares: NDArray[Any] | tuple[float, ...] = SHARES) -> pd.DataFrame:
    frame = pd.DataFrame(z[:, :NUMERIC], columns=[f"x{i}" for i in range(NUMERIC)])
    edges = norm.ppf(np.cumsum(shares)[:-1])
    frame["place"] = np.array(["a", "b", "c"])[np.searchsorted(edges, z[:, NUMERIC])]
    return frame


def independent(rng: Rng, n: int, windows: int, _: int) -> pd.DataFrame:
    """Rows are independent and nothing changes."""
    return _frame(_latent(rng, n * windows))


def autoregressive(rng: Rng, n: int, windows: int, _: int) -> pd.DataFrame:
    """Every feature is AR(1)."""
    return _frame(_latent(rng, n * windows, RHO))


def seasonal(rng: Rng, n: int, windows: int, _: int) -> pd.DataFrame:
    """Half of the features swing by one sigma, over four windows; a third of that within each."""
    z = _latent(rng, n * windows)
    t = np.arange(len(z)) / n
    for i in range(0, NUMERIC, 2):
        phase = rng.uniform(0, 2 * np.pi)
        z[:, i] += np.sin(2 * np.pi * t / 4 + phase) + np.sin(2 * np.pi * t * 3 + phase) / 3
    return _frame(z)


def long_season(rng: Rng, n: int, windows: int, _: int) -> pd.DataFrame:
    """Half of the features swing by one sigma, as often as the reference is long."""
    z = _latent(rng, n * windows)
    t = np.arange(len(z)) / n
    for i in range(0, NUMERIC, 2):
        z[:, i] += np.sin(2 * np.pi * t / REFERENCE_WINDOWS + rng.uniform(0, 2 * np.pi))
    return _frame(z)


def longer_season(rng: Rng, n: int, windows: int, _: int) -> pd.DataFrame:
    """As `long_season`, twice as slow: the reference has seen half of it."""
    z = _latent(rng, n * windows)
    t = np.arange(len(z)) / n
    for i in range(0, NUMERIC, 2):
        z[:, i] += np.sin(np.pi * t / REFERENCE_WINDOWS + rng.uniform(0, 2 * np.pi))
    return _frame(z)


def trending(rng: Rng, n: int, windows: int, _: int) -> pd.DataFrame:
    """Half of the features rise steadily, by one sigma over the whole stream."""
    z = _latent(rng, n * windows)
    for i in range(0, NUMERIC, 2):
        z[:, i] += np.linspace(0, 1, len(z))
    return _frame(z)


def slightly_trending(rng: Rng, n: int, windows: int, _: int) -> pd.DataFrame:
    """As `trending`, by a third of a sigma."""
    z = _latent(rng, n * windows)
    for i in range(0, NUMERIC, 2):
        z[:, i] += np.linspace(0, 1 / 3, len(z))
    return _frame(z)


def half_sigma(rng: Rng, n: int, windows: int, change: int) -> pd.DataFrame:
    """One of ten features moves by half a sigma."""
    frame = independent(rng, n, windows, change)
    frame.loc[n * change :, "x4"] += 0.5
    return frame


def flipped(rng: Rng, n: int, windows: int, change: int) -> pd.DataFrame:
    """The correlation of two features changes its sign; each alone stays as it was."""
    frame = independent(rng, n, windows, change)
    frame.loc[n * change :, "x1"] *= -1
    return frame


def category(rng: Rng, n: int, windows: int, change: int) -> pd.DataFrame:
    """A tenth of the rows go from one category to another."""
    z = _latent(rng, n * windows)
    before, after = _frame(z[: n * change]), _frame(z[n * change :], (0.4, 0.4, 0.2))
    return pd.concat([before, after], ignore_index=True)


def gradual(rng: Rng, n: int, windows: int, change: int) -> pd.DataFrame:
    """One of ten features moves by one sigma, over ten windows."""
    frame = independent(rng, n, windows, change)
    frame["x4"] += np.clip((np.arange(len(frame)) - n * change) / (10 * n), 0, 1)
    return frame


QUIET = (
    Scenario("independent rows", independent),
    Scenario("AR(1), rho 0.9", autoregressive),
    Scenario("season of 4 windows", seasonal),
    Scenario("season as long as the reference", long_season),
    Scenario("season twice as long as the reference", longer_season),
    Scenario("trend, 1 sigma", trending),
    Scenario("trend, 1/3 sigma", slightly_trending),
)
CHANGES = (
    Scenario("0.5 sigma in 1 of 10 features", half_sigma, within=2),
    Scenario("correlation flips", flipped, within=2),
    Scenario("category shift of 0.1", category, within=2),
    Scenario("gradual, 1 sigma over 10 windows", gradual, within=6),
)
