"""The chart of a confirmed drift."""

from __future__ import annotations

import pytest

from perennial.drift.why import Cause, Explanation, Picture
from perennial.report.drift import drift_chart

CAUSE = Cause(
    label="heat",
    features=("heat",),
    direction="up",
    detail="mean 20 -> 23",
    effect=0.9,
    since="w000002",
    scores=(0.1, 8.0, 9.0),
    extra_loss=0.3,
    loss_share=0.5,
    picture=Picture(
        kind="line", axis="heat", ticks=("a", "b"), before=(0.5, None), after=(0.2, 0.8)
    ),
)


def test_causes_are_drawn_with_and_without_a_picture() -> None:
    blind = CAUSE.model_copy(update={"picture": None, "loss_share": None})
    explanation = Explanation(
        window="w000003", windows=("w000001", "w000002", "w000003"), causes=(CAUSE, blind)
    )
    assert drift_chart(explanation, {}).startswith(b"\x89PNG")


def test_without_a_cause_there_is_nothing_to_draw() -> None:
    with pytest.raises(ValueError, match="no cause"):
        drift_chart(Explanation(window="w1", windows=("w1",), causes=()), {})
