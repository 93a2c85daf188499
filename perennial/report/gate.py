"""A gate's decision as people read it: the metric of all rivals first, then each check."""

from __future__ import annotations

from collections.abc import Callable

from perennial.evaluation.decision import CheckName, GateCheck, GateDecision

HEADER = ("check", "verdict", "measured", "allowed", "in words")
"""Prefect's UI breaks no line of a table: the sentence stands where it may run out of sight."""

_NAMES: dict[CheckName, str] = {
    "rows": "rows to judge by",
    "finite": "answers that are no number",
    "better_than_constant": "loss against a constant answer",
    "last_value": "loss against the last known value",
    "not_worse_than_champion": "loss against the champion",
    "slices": "loss in the worst slice",
    "calibration": "probabilities off what came true",
    "leakage": "leaks",
    "too_good": "too good to be true",
    "signature": "fields that no longer fit",
    "size": "size",
    "latency": "time for one row",
    "parity": "difference to the trained model",
    "servability": "difference when served",
}


def lead(decision: GateDecision) -> list[str]:
    """What there is to say first, a sentence each."""
    verdict = "Passed" if decision.passed else "Refused"
    told = [f"**{verdict}** on {decision.rows:,} rows: {decision.reason}."]
    scores = decision.scores
    if scores is None or scores.candidate is None:
        return told
    rivals = [
        f"{figure:.4g} {what}"
        for figure, what in (
            (scores.champion, "by the champion"),
            (scores.constant, "by a constant answer"),
            (scores.last_value, "by repeating the last known value"),
        )
        if figure is not None
    ]
    against = f", against {', '.join(rivals)}" if rivals else ""
    told.append(f"{scores.metric} {scores.candidate:.4g}{against}.")
    if _loses_to_last_value(decision) and scores.last_value is not None:
        told.insert(
            0,
            f"**Clearly worse than repeating the last known value**: {scores.metric} "
            f"{scores.candidate:.4g} against {scores.last_value:.4g}.",
        )
    return told


def check_rows(decision: GateDecision) -> list[tuple[str, ...]]:
    """Each check under `HEADER`, what refused first."""
    checks = sorted(decision.checks, key=lambda check: check.passed)
    return [(_NAMES[c.name], c.verdict, _measured(c), _allowed(c), c.detail) for c in checks]


def _loses_to_last_value(decision: GateDecision) -> bool:
    found = next((check for check in decision.checks if check.name == "last_value"), None)
    return found is not None and found.low is not None and found.low > 0


def _measured(check: GateCheck) -> str:
    if check.figure is None:
        return ""
    unit = _UNITS[check.name]
    figure = unit(check.figure)
    if check.low is None and check.high is None:
        return figure
    low, high = ("..." if end is None else unit(end) for end in (check.low, check.high))
    return f"{figure} ({low} to {high})"


def _allowed(check: GateCheck) -> str:
    if check.threshold is None:
        return ""
    bound = "at least" if check.name == "rows" else "at most"
    return f"{bound} {_UNITS[check.name](check.threshold)}"


def _change(value: float) -> str:
    return f"{value:+.1%}"


def _share(value: float) -> str:
    return f"{value:.1%}"


def _count(value: float) -> str:
    return f"{value:,.0f}"


def _plain(value: float) -> str:
    return f"{value:.2g}"


_UNITS: dict[CheckName, Callable[[float], str]] = {
    "rows": _count,
    "finite": _count,
    "better_than_constant": _change,
    "last_value": _change,
    "not_worse_than_champion": _change,
    "slices": _change,
    "calibration": _share,
    "leakage": _count,
    "too_good": _share,
    "signature": _count,
    "size": lambda value: f"{value:.3g} MB",
    "latency": lambda value: f"{value:.2g} ms",
    "parity": _plain,
    "servability": _plain,
}
