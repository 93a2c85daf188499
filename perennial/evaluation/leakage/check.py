"""What the findings of leakage come to at the gate."""

from __future__ import annotations

from perennial.evaluation.decision import TOO_GOOD, GateCheck, Leak

_NO_ERROR = -0.99
"""Change of the loss against a constant answer, as a share of it, from which on it counts."""
_SURELY = -0.6
"""What its upper bound must be below: a few rows of a rare class prove nothing."""
_BEYOND_LAST = -0.8
"""The same against repeating the last truth: a target that hardly moves is easy."""


def leakage_check(leaks: tuple[Leak, ...], standing: tuple[str, ...] = ()) -> GateCheck:
    """Refuse where anything was found that pipeline.yaml does not allow.

    Args:
        standing: the champion's features. One that is found among them says that no heal can pass
            until somebody decides.
    """
    refused = [leak for leak in leaks if not leak.allowed]
    if not leaks:
        return GateCheck(
            name="leakage", figure=0.0, threshold=0.0, verdict="passed", detail="no leak was found"
        )
    named = "; ".join(leak.detail for leak in refused or leaks)
    advice = "put it under ignore, or under gates.allow_leakage if it is known in time"
    used = [repr(leak.column) for leak in refused if leak.column in standing]
    if used:
        advice += f"; the champion uses {' and '.join(used)} too, so no new model passes until then"
    return GateCheck(
        name="leakage",
        figure=float(len(refused)),
        threshold=0.0,
        verdict="refused" if refused else "overridden",
        detail=f"leakage: {named}: {advice}" if refused else f"leakage that is allowed: {named}",
    )


def hardly_errs(judged: tuple[GateCheck, ...]) -> bool:
    """Whether a candidate is better than the world lets models be.

    Args:
        judged: what the gate found of its answers.
    """
    found = {check.name: check for check in judged}
    constant, last = found.get("better_than_constant"), found.get("last_value")
    if constant is None or constant.figure is None or constant.high is None:
        return False
    easy = last is not None and last.figure is not None and last.figure > _BEYOND_LAST
    return constant.figure <= _NO_ERROR and constant.high <= _SURELY and not easy


def too_good_check(strongest: tuple[str, float] | None) -> GateCheck:
    """Tell of a candidate that hardly errs.

    It refuses nothing: where no feature is a leak by itself, a person has to say what it is.

    Args:
        strongest: as `strongest_of` gives it.
    """
    look = (
        ""
        if strongest is None
        else f": look at {strongest[0]!r}, which alone tells {strongest[1]:.0%} of the target"
    )
    return GateCheck(
        name=TOO_GOOD,
        figure=None if strongest is None else strongest[1],
        verdict="noted",
        detail=f"too good to be true, with hardly an error left{look}",
    )
