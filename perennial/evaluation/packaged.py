"""What the packaged model has to show: size, speed, signature, parity, and that it serves.

The figures are measured elsewhere; here they are held against what is allowed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perennial.evaluation.decision import CheckVerdict, GateCheck
from perennial.packaging.signature import Signature

_TIMED_CALLS = 50
_TIMED_SECONDS = 0.1
_WARM_CALLS = 3
_SERVED_TOLERANCE = 1e-6


def time_one_row(
    predict: Callable[[], object], clock: Callable[[], float] = time.perf_counter
) -> NDArray[np.float64]:
    """Call a one-row prediction again and again for a tenth of a second at most.

    Returns:
        Milliseconds a call (calls,), at least one.
    """
    for _ in range(_WARM_CALLS):
        predict()
    taken: list[float] = []
    while len(taken) < _TIMED_CALLS and sum(taken) < _TIMED_SECONDS:
        start = clock()
        predict()
        taken.append(clock() - start)
    return np.array(taken) * 1e3


def check_latency(milliseconds: NDArray[np.float64], allowed: float | None) -> GateCheck:
    """Hold the median of one-row calls against the limit; its quartiles are the interval."""
    low, figure, high = (float(v) for v in np.quantile(milliseconds, [0.25, 0.5, 0.75]))
    passed = allowed is None or figure <= allowed
    return GateCheck(
        name="latency",
        figure=figure,
        threshold=allowed,
        low=low,
        high=high,
        verdict=_verdict(passed, held=allowed is not None),
        detail=f"one row takes {figure:.2f} ms"
        + ("" if passed else f": gates.latency_ms allows {allowed:g}"),
    )


def check_size(model_bytes: int, allowed: float | None) -> GateCheck:
    """Hold the size of the packaged graph against the limit, in megabytes of 10^6 bytes."""
    figure = model_bytes / 1e6
    passed = allowed is None or figure <= allowed
    return GateCheck(
        name="size",
        figure=figure,
        threshold=allowed,
        verdict=_verdict(passed, held=allowed is not None),
        detail=f"the packaged model has {figure:.2f} MB"
        + ("" if passed else f": gates.size_mb allows {allowed:g}"),
    )


def check_signature(candidate: Signature, champion: Signature | None, *, held: bool) -> GateCheck:
    """See that whoever can ask the champion can ask the candidate, and read its answer.

    Fields may come (a missing one is a missing value) and classes may come or go; no field that is
    sent today may be refused or mean another type, and what is predicted stays.
    """
    broken = [] if champion is None else _broken(candidate, champion)
    detail = "; ".join(broken) or (
        "first of its pipeline" if champion is None else "takes every request of the champion"
    )
    if broken:
        detail = f"not compatible with the champion: {detail}"
        if held:
            detail += " (gates.signature: any would allow it)"
    return GateCheck(
        name="signature",
        figure=float(len(broken)),
        threshold=0.0 if held else None,
        verdict="refused" if broken and held else "overridden" if broken else "passed",
        detail=detail,
    )


def _broken(candidate: Signature, champion: Signature) -> list[str]:
    kinds = {f.name: f.kind for f in candidate.features}
    found = []
    for name in ("task", "target"):
        old, new = getattr(champion, name), getattr(candidate, name)
        if old != new:
            found.append(f"{name} was {old!r}, is {new!r}")
    for feature in champion.features:
        if feature.name in kinds:
            if kinds[feature.name] != feature.kind:
                found.append(f"{feature.name!r} was {feature.kind}, is {kinds[feature.name]}")
        elif feature.name not in candidate.context:
            found.append(f"{feature.name!r} would be refused as unknown")
    found += [
        f"{name!r} would be refused as unknown"
        for name in champion.context
        if name not in kinds and name not in candidate.context
    ]
    old_time, new_time = champion.time, candidate.time
    if old_time is not None and new_time is not None and old_time.format != new_time.format:
        found.append(
            f"{old_time.name!r} was written as {old_time.format.example} "
            f"({old_time.format.timezone}), would be read as {new_time.format.example} "
            f"({new_time.format.timezone})"
        )
    return found


def check_parity_of(off: int, rows: int, max_abs: float, tolerance: float) -> GateCheck:
    """Record that the package answers as the model it was made from, on real and altered rows."""
    passed = off == 0
    return GateCheck(
        name="parity",
        figure=max_abs,
        threshold=tolerance,
        verdict=_verdict(passed),
        detail=f"the package answers as its source on {rows} rows, to within {max_abs:.2g}"
        if passed
        else f"the package answers otherwise than its source on {off} of {rows} rows: it would "
        "serve another model than was trained; leave the estimator out of model.estimators",
    )


def check_served(
    served: NDArray[Any] | None, expected: NDArray[Any], failure: str | None
) -> GateCheck:
    """Hold what the real server answered against the graph itself, row by row.

    Args:
        served: float (rows, width); None where the server failed.
        expected: float32 (rows, width).
        failure: what the server said, where it failed.
    """
    if served is None:
        return GateCheck(
            name="servability",
            figure=None,
            verdict="refused",
            detail=f"not servable: {failure}",
        )
    size = max(1.0, float(np.abs(expected).max(initial=0.0)))
    apart = float(np.abs(served - expected).max(initial=0.0))
    allowed = _SERVED_TOLERANCE * size
    passed = served.shape == expected.shape and bool(apart <= allowed)
    return GateCheck(
        name="servability",
        figure=apart if np.isfinite(apart) else None,
        threshold=allowed,
        verdict=_verdict(passed),
        detail=f"a server of its own answers {len(expected)} rows with the same numbers"
        if passed
        else f"a server of its own answers real rows otherwise, by up to {apart:.3g}",
    )


def _verdict(passed: bool, *, held: bool = True) -> CheckVerdict:
    if not held:
        return "noted"
    return "passed" if passed else "refused"
