"""The reasons of a decision in words: first what it means, the machinery behind."""

from __future__ import annotations

from collections.abc import Mapping

from perennial.datasets.dates import Dates, in_words
from perennial.drift.loss import LossVerdict
from perennial.evaluation.mixing import HeadGain, Mixture
from perennial.spec import HeadName

Known = Mapping[str, Dates | None]
"""Windows by their names, and of when their rows are."""

_PARTS: dict[HeadName, str] = {
    "recalibrate": "answers recalibrated",
    "renew": "model of the newest rows",
    "correct": "residual model",
}
_ACTIONS = {
    "keep": "keep the model",
    "hold": "hold the data",
    "retrain": "retrain",
    "recalibrate": "recalibrate the answers",
    "correct": "add a correction",
    "unhead": "take the correction off",
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


def correction_worth(depth: str, expected: float) -> str:
    """What a small correction is expected to do to the loss."""
    what = "recalibrating the answers" if depth == "recalibrate" else "a small correction"
    return f"{what} would cut the loss by {percent(expected)}"


def parts_of(mixture: Mixture) -> str:
    """What a correction would consist of, and with what share each part of it counts."""
    shares = [(_PARTS[name], getattr(mixture, name)) for name in _PARTS]
    return ", ".join(f"{what} {share:.0%}" for what, share in shares if share >= _VISIBLE)


def corrections_tried(found: HeadGain) -> str:
    """What corrections have done in trials."""
    over = f"over {count_windows(found.windows)} that they had not seen, t {found.t:.1f}"
    if found.share <= 0:
        return f"corrections fitted on the newest rows would not cut the loss ({over})"
    return (
        f"corrections fitted on the newest rows would cut the loss by {percent(found.share)} "
        f"({over})"
    )


def percent(share: float) -> str:
    """A share of the loss, no finer than anybody wants to know it."""
    return f"{share:.0%}" if abs(share) >= _COARSE else f"{share:.1%}"


def count_windows(count: int) -> str:
    """1 window, 2 windows."""
    return "1 window" if count == 1 else f"{count} windows"
