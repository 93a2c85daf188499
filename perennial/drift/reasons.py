"""The reasons of a decision in words: first what it means, the machinery behind."""

from __future__ import annotations

from collections.abc import Mapping

from perennial.datasets.dates import Dates, in_words
from perennial.drift.loss import LossVerdict
from perennial.evaluation.mixing import Mixture
from perennial.spec import MemberName

Known = Mapping[str, Dates | None]
"""Windows by their names, and of when their rows are."""

_PARTS: dict[MemberName, str] = {
    "first": "first model",
    "recent": "model of recent rows",
    "all": "model of all rows",
    "recalibrate": "recalibrated answers",
    "renew": "small model of the newest rows",
    "correct": "residual model",
}
_ACTIONS = {
    "keep": "keep the model",
    "hold": "hold the data",
    "retrain": "retrain",
    "correct": "correct the answers",
}
_VISIBLE = 0.005
"""A part below this would be told as 0%."""
_COARSE = 0.1
"""From this share on, whole percents are enough."""


def action_in_words(name: str) -> str:
    """What a decision does, by its `perennial.drift.decision.Decision.name`."""
    return _ACTIONS[name]


def loss_compared(alarm: LossVerdict, known: Known) -> str:
    """How the loss of labelled windows, or the estimate of one, stands to its reference."""
    return (
        f"the loss is {alarm.ratio:.2f} times its reference in {in_words(alarm.window, known)}: "
        f"{alarm.loss:.4g} against {alarm.promise.mean:.4g}, p {alarm.p_value:.2g}"
    )


def parts_of(mixture: Mixture) -> str:
    """What answers, and with what share each part of it counts."""
    return ", ".join(
        f"{_PARTS[name]} {share:.0%}" for name, share in mixture.parts.items() if share >= _VISIBLE
    )


def percent(share: float) -> str:
    """A share of the loss, no finer than anybody wants to know it."""
    return f"{share:.0%}" if abs(share) >= _COARSE else f"{share:.1%}"


def count_windows(count: int) -> str:
    """1 window, 2 windows."""
    return "1 window" if count == 1 else f"{count} windows"
