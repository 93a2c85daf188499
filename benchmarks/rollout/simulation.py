"""How often the rollout's test promotes a challenger that it should not, and how fast a good one.

Every run looks after every row. Beside the test stand a z-test that is repeated after every row,
which is what looking at a fixed-size test too often comes to, and a z-test of fixed size, which may
be looked at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy.stats import beta, norm

from perennial.rollout.sequence import WARM_UP, excess, log_capital
from perennial.spec import Rollout

RUNS, ROWS, CHUNK = 5000, 5000, 250
POWER_RUNS, POWER_ROWS, POWER_CHUNK = 400, 40_000, 40
BETTER = (0.01, 0.02, 0.05)
WANTED_POWER = 0.8
AGREEMENT = 0.9
"""Correlation of the two models' errors."""
LOG_LOSS_BOUND = -math.log(1e-6)

Sample = Callable[[np.random.Generator, tuple[int, int], float], tuple[NDArray[Any], NDArray[Any]]]


@dataclass(frozen=True)
class Law:
    """A law of the losses of two models; ``sample`` gives (challenger, champion)."""

    name: str
    bound: float | None
    sample: Sample
    note: str = ""


def errors(rng: np.random.Generator, shape: tuple[int, int]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Errors of two models that mostly agree, standard normal each."""
    theirs = rng.standard_normal(shape)
    own = rng.standard_normal(shape)
    return AGREEMENT * theirs + math.sqrt(1 - AGREEMENT**2) * own, theirs


def squared(
    rng: np.random.Generator, shape: tuple[int, int], worse: float
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Squared errors of normal law."""
    mine, theirs = errors(rng, shape)
    return (1 + worse) * mine**2, theirs**2


def squared_t(
    rng: np.random.Generator, shape: tuple[int, int], worse: float
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Squared errors whose rows differ in difficulty: Student's t with 5 degrees of freedom."""
    mine, theirs = errors(rng, shape)
    hard = 5 / rng.chisquare(5, shape)
    return (1 + worse) * mine**2 * hard, theirs**2 * hard


def lognormal(
    rng: np.random.Generator, shape: tuple[int, int], worse: float
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Losses that range over orders of magnitude."""
    mine, theirs = errors(rng, shape)
    return (1 + worse) * np.exp(mine), np.exp(theirs)


def disasters(
    rng: np.random.Generator, shape: tuple[int, int], worse: float
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Better on all rows but one in 200, where all that it is worse comes from."""
    mine, theirs = errors(rng, shape)
    rate = 1 / 200
    return 0.9 * mine**2 + (rng.random(shape) < rate) * (0.1 + worse) / rate, theirs**2


def zero_one(
    rng: np.random.Generator, shape: tuple[int, int], worse: float
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Wrong or right, the champion wrong on every fifth row."""
    mine, theirs = errors(rng, shape)
    return (
        (mine < norm.ppf(0.2 * (1 + worse))).astype(float),
        (theirs < norm.ppf(0.2)).astype(float),
    )


def log_loss(
    rng: np.random.Generator, shape: tuple[int, int], worse: float
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Log losses up to 13.8, of exponential law and clipped as ours are."""
    mine, theirs = (-np.log(norm.sf(e)) * 0.4 for e in errors(rng, shape))
    return np.minimum((1 + worse) * mine, LOG_LOSS_BOUND), np.minimum(theirs, LOG_LOSS_BOUND)


LAWS = (
    Law("0/1 loss", 1.0, zero_one),
    Law("log loss", LOG_LOSS_BOUND, log_loss),
    Law("squared error, normal", None, squared),
    Law("squared error, t(5)", None, squared_t),
    Law("lognormal loss", None, lognormal),
)
LIMIT = Law(
    "rare disasters",
    None,
    disasters,
    "no bound is known and all harm lies in one row of 200: the limit of the asymptotic guarantee",
)


@dataclass(frozen=True)
class Errors:
    """Wrong promotions of a challenger that is worse by exactly the margin."""

    law: str
    guarantee: str
    runs: int
    rows: int
    wrong: float
    low: float
    high: float
    """95% bounds of Clopper and Pearson."""
    naive_wrong: float
    wrong_rollback: float
    """The other error: one that is worse by exactly the margin is rolled back."""
    note: str


@dataclass(frozen=True)
class Power:
    """Rows until a better challenger is promoted."""

    law: str
    better: float
    median_rows: int | None
    rows_at_power: int | None
    """Within which `WANTED_POWER` of the runs promoted."""
    fixed_rows: int
    """Of the z-test with that power, which may be looked at once."""
    promoted: float
    """Share of the runs, within `POWER_ROWS` rows."""


def chunks(law: Law, worse: float, runs: int, rows: int, chunk: int) -> Iterator[Any]:
    """Yield losses of ``chunk`` runs at a time."""
    rng = np.random.default_rng(7)
    for _ in range(runs // chunk):
        yield law.sample(rng, (chunk, rows), worse)


def measure_errors(law: Law, rollout: Rollout) -> Errors:
    """Look after each row of `RUNS` runs at the edge of the null."""
    wealth = math.log(1 / rollout.alpha)
    wrong = naive = back = 0
    for mine, theirs in chunks(law, rollout.margin, RUNS, ROWS, CHUNK):
        x = excess(mine, theirs, rollout.margin)
        options = {"bound": law.bound, "relative": rollout.margin}
        wrong += int((log_capital(x, "worse", **options) >= wealth).any(axis=1).sum())
        back += int((log_capital(x, "not_worse", **options) >= wealth).any(axis=1).sum())
        naive += int((z_scores(x) <= norm.ppf(rollout.alpha)).any(axis=1).sum())
    return Errors(
        law=law.name,
        guarantee="asymptotic" if law.bound is None else "exact",
        runs=RUNS,
        rows=ROWS,
        wrong=wrong / RUNS,
        low=float(beta.ppf(0.025, wrong, RUNS - wrong + 1)) if wrong else 0.0,
        high=float(beta.ppf(0.975, wrong + 1, RUNS - wrong)),
        naive_wrong=naive / RUNS,
        wrong_rollback=back / RUNS,
        note=law.note,
    )


def z_scores(x: NDArray[Any]) -> NDArray[Any]:
    """The z-test's statistic after every row from `WARM_UP` on."""
    n = np.arange(1, x.shape[1] + 1)
    mean = np.cumsum(x, axis=1) / n
    variance = np.maximum(np.cumsum(x**2, axis=1) / n - mean**2, 1e-12)
    scores: NDArray[Any] = (mean * np.sqrt(n / variance))[:, WARM_UP:]
    return scores


def measure_power(law: Law, better: float, rollout: Rollout) -> Power:
    """Wait for the promotion of a challenger whose loss is ``better`` (a share) smaller."""
    wealth = math.log(1 / rollout.alpha)
    waited, moments = [], []
    for mine, theirs in chunks(law, -better, POWER_RUNS, POWER_ROWS, POWER_CHUNK):
        x = excess(mine, theirs, rollout.margin)
        rich = log_capital(x, "worse", bound=law.bound, relative=rollout.margin) >= wealth
        waited.append(np.where(rich.any(axis=1), rich.argmax(axis=1) + 1.0, np.inf))
        moments.append((x.mean(), x.var()))
    rows = np.concatenate(waited)
    mean, variance = np.mean(moments, axis=0)
    reach = norm.ppf(1 - rollout.alpha) + norm.ppf(WANTED_POWER)
    return Power(
        law=law.name,
        better=better,
        median_rows=_quantile(rows, 0.5),
        rows_at_power=_quantile(rows, WANTED_POWER),
        fixed_rows=math.ceil(reach**2 * variance / mean**2),
        promoted=float(np.isfinite(rows).mean()),
    )


def _quantile(rows: NDArray[Any], share: float) -> int | None:
    found = float(np.quantile(rows, share, method="higher"))
    return int(found) if math.isfinite(found) else None


def show(console: Console, controls: list[Errors], powers: list[Power], rollout: Rollout) -> None:
    """Print both tables."""
    table = Table(
        "losses", "guarantee", "promoted", "95% bounds", "repeated z-test", "rolled back", box=None
    )
    for e in controls:
        bounds = f"{e.low:.2%} to {e.high:.2%}"
        cells = f"{e.wrong:.2%}", bounds, f"{e.naive_wrong:.1%}", f"{e.wrong_rollback:.2%}"
        table.add_row(e.law, e.guarantee, *cells)
    console.print(
        f"A challenger that is worse by exactly the margin ({rollout.margin:.0%}), alpha "
        f"{rollout.alpha:.0%}, {RUNS:,} runs of {ROWS:,} rows, a look after every row:"
    )
    console.print(table)
    table = Table("losses", "better by", "rows, median", "rows, 80%", "fixed size, 80%", box=None)
    for p in powers:
        found = [f"{n:,}" if n else f"> {POWER_ROWS:,}" for n in (p.median_rows, p.rows_at_power)]
        table.add_row(p.law, f"{p.better:.0%}", *found, f"{p.fixed_rows:,}")
    console.print("Rows until a better challenger is promoted:")
    console.print(table)


def simulate(console: Console) -> dict[str, Any]:
    """Measure and print; return what goes into the results."""
    rollout = Rollout()
    controls = [measure_errors(law, rollout) for law in (*LAWS, LIMIT)]
    powers = [measure_power(law, better, rollout) for law in LAWS for better in BETTER]
    show(console, controls, powers, rollout)
    return {
        "margin": rollout.margin,
        "alpha": rollout.alpha,
        "correlation_of_errors": AGREEMENT,
        "errors": [asdict(e) for e in controls],
        "power": [asdict(p) for p in powers],
    }
