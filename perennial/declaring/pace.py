"""How fast a stream comes, and the window, schedule and rollout that go with it."""

from __future__ import annotations

from datetime import timedelta

import pandas as pd

from perennial.declaring.verdict import Pace
from perennial.spec import Bake, Canary, Rollout, Shadow, format_duration

_WINDOWS = 50
_LEAST = 20
_SHORT = 100
_SHORT_WINDOWS = 8
_RAREST = 10
"""Rows of the rarest class that a window should hold, where the stream is long enough."""
_DAY = 86_400.0
_LONGEST = timedelta(days=90)
"""A stage that lasted longer would keep newer versions waiting for a season."""
_PERIODS = {
    "* * * * *": (60, "every minute"),
    "*/5 * * * *": (300, "every five minutes"),
    "*/15 * * * *": (900, "every quarter of an hour"),
    "0 * * * *": (3_600, "every hour"),
}
"""None is rarer than every hour: labels may come at any time, and a look without news is cheap."""
_HOURLY = "0 * * * *"
_USUAL_WINDOW = 1_000
"""The window that the defaults of a rollout are made for."""
_FEWEST_ROWS = 20
_PATIENCE = 2
"""How many times as long as its rows should take a stage may last."""
_TEST_WINDOWS, _TEST_ROWS = 10, 5_000
"""Windows, or rows if they are fewer, in which the test of the loss has to come to its end."""


def guess_window(rows: int, rarest: float | None = None) -> tuple[int, str]:
    """Rows a window, and why.

    50 windows behind the first fifth, or fewer of 100 rows on a short stream.

    Args:
        rarest: share of the rarest class of which there is enough to learn.
    """
    rest = round(rows * 0.8)
    usual = max(_LEAST, rest // _WINDOWS, min(_SHORT, rest // _SHORT_WINDOWS))
    wanted = 0 if not rarest else min(int(_RAREST / rarest) + 1, rest // _SHORT_WINDOWS)
    if wanted > usual:
        return wanted, f"some {_RAREST} rows of the rarest class in each"
    return usual, f"{rest // usual} windows behind the first fifth"


def rows_a_day(times: pd.Series | None) -> float | None:
    """Rows a day of a stream; None where no time tells."""
    if times is None or len(times) < 2:
        return None
    days = (times.max() - times.min()).total_seconds() / _DAY
    return (len(times) - 1) / days if days > 0 else None


def set_pace(rows: int, times: pd.Series | None, rarest: float | None) -> Pace:
    """Choose window, schedule and stages by how fast rows come.

    Args:
        times: of the rows, if a column tells.
        rarest: as `guess_window` takes it.
    """
    window, why_window = guess_window(rows, rarest)
    rate = rows_a_day(times)
    schedule, why_schedule = _schedule(window, rate)
    rollout, why_rollout = _rollout(window, rate)
    return Pace(
        window=window,
        why_window=why_window,
        rows_a_day=rate,
        schedule=schedule,
        why_schedule=why_schedule,
        rollout=rollout,
        why_rollout=why_rollout,
    )


def _schedule(window: int, rate: float | None) -> tuple[str, str]:
    """The longest period in which a full window waits at most half as long as it took to fill."""
    if rate is None:
        return _HOURLY, "every hour, UTC; no time column tells how fast rows come"
    seconds = window / rate * _DAY
    fitting = [cron for cron, (period, _) in _PERIODS.items() if period <= seconds / 2]
    cron = fitting[-1] if fitting else next(iter(_PERIODS))
    return (
        cron,
        f"{_PERIODS[cron][1]}, UTC: at {_rate(rate)} a day a window takes {_long(seconds)}",
    )


def _rate(rate: float) -> str:
    return f"{rate:,.0f} rows" if rate >= 10 else f"{rate:.2g} rows"


def _rollout(window: int, rate: float | None) -> tuple[dict[str, object], str]:
    """Stages of some four windows in all, and times in which the stream can fill them."""
    usual = Shadow(), Canary(), Bake()
    scale = min(1.0, window / _USUAL_WINDOW)

    def scaled(rows: int) -> int:
        return min(rows, max(_FEWEST_ROWS, round(rows * scale)))

    shadow, canary, bake = (scaled(part.rows) for part in usual)
    labels, weights = scaled(Rollout().labels), list(usual[1].weights)
    times = [part.time for part in usual]
    why = f"stages of a window of {window} rows"
    if rate is not None:
        second = rate / _DAY
        if canary / weights[0] / second > _DAY:
            weights = weights[-1:]
        needed = (
            _PATIENCE * shadow,
            max(_PATIENCE * canary / weights[0], min(_TEST_WINDOWS * window, _TEST_ROWS)),
            _PATIENCE * bake,
        )
        times = [
            max(usually, min(_round_up(rows / second), _LONGEST))
            for usually, rows in zip(times, needed, strict=True)
        ]
        why += f", and times in which {_rate(rate)} a day can fill them"
    declared: dict[str, object] = {
        "shadow": {"rows": shadow, "time": format_duration(times[0])},
        "canary": {"weights": weights, "rows": canary, "time": format_duration(times[1])},
        "bake": {"rows": bake, "time": format_duration(times[2])},
        "labels": labels,
    }
    return ({}, "") if Rollout.model_validate(declared) == Rollout() else (declared, why)


def _round_up(seconds: float) -> timedelta:
    """To whole hours, beyond two days to whole days: people read it."""
    unit = 3_600 if seconds <= 2 * _DAY else int(_DAY)
    return timedelta(seconds=-(-seconds // unit) * unit)


def _long(seconds: float) -> str:
    """A length of time in words, roughly."""
    for name, unit in (("days", _DAY), ("hours", 3_600.0), ("minutes", 60.0)):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.3g} {name}"
    return f"{seconds:.0f} seconds"
