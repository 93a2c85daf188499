"""The picture of a confirmed drift: each cause before and after, and its score window by window."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np

from perennial.datasets.dates import Dates, in_words
from perennial.drift.why import Cause, Explanation, Picture
from perennial.report.charts import INK, PAPER
from perennial.store.layout import window_number

_BEFORE, _AFTER = "#9a8c5a", "#0f766e"
_SHOWN = 6
_TICKS = 6


def drift_chart(
    explanation: Explanation, known: Mapping[str, Dates | None], *, dpi: int = 110
) -> bytes:
    """Draw the strongest causes as PNG.

    Args:
        known: of when the rows of windows are.

    Raises:
        ValueError: there is none.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    causes = explanation.causes[:_SHOWN]
    if not causes:
        raise ValueError("there is no cause to draw")
    figure = Figure(figsize=(10, 2.4 * len(causes)), dpi=dpi, facecolor=PAPER)
    FigureCanvasAgg(figure)
    rows = figure.subplots(len(causes), 2, squeeze=False, width_ratios=[3, 2])
    for (left, right), cause in zip(rows, causes, strict=True):
        _draw_picture(left, cause)
        _draw_scores(right, cause, explanation.windows, in_words(cause.since, known))
    rows[0][0].legend(frameon=False, fontsize=8)
    figure.tight_layout()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", bbox_inches="tight", metadata={"Software": None})
    return buffer.getvalue()


def _draw_picture(axes: Any, cause: Cause) -> None:
    axes.set_title(f"{cause.label}: {cause.detail}", loc="left", fontsize=9, color=INK)
    _dress(axes)
    if cause.picture is None:
        axes.set_axis_off()
        return
    picture = cause.picture
    place = np.arange(len(picture.ticks))
    if picture.kind == "bars":
        axes.bar(place - 0.2, picture.before, 0.4, color=_BEFORE, label="reference")
        axes.bar(place + 0.2, picture.after, 0.4, color=_AFTER, label="window")
    else:
        axes.plot(place, _numbers(picture.before), color=_BEFORE, marker="o", label="reference")
        axes.plot(place, _numbers(picture.after), color=_AFTER, marker="o", label="window")
    _mark_ticks(axes, picture)
    axes.set_xlabel(picture.axis, fontsize=8, color=INK)


def _mark_ticks(axes: Any, picture: Picture) -> None:
    step = max(1, -(-len(picture.ticks) // _TICKS))
    shown = range(0, len(picture.ticks), step)
    axes.set_xticks(shown, [picture.ticks[i] for i in shown])


def _draw_scores(axes: Any, cause: Cause, windows: tuple[str, ...], since: str) -> None:
    place = np.arange(len(windows))
    start = windows.index(cause.since)
    axes.axvspan(start - 0.5, len(windows) - 0.5, color=_AFTER, alpha=0.12, linewidth=0)
    axes.plot(place, cause.scores, color=INK, marker=".", linewidth=1)
    axes.axhline(0, color=INK, linewidth=0.6)
    axes.set_title(f"since {since}{_loss(cause)}", loc="left", fontsize=9, color=INK)
    axes.set_xlabel("score, window by window", fontsize=8, color=INK)
    step = max(1, -(-len(windows) // _TICKS))
    axes.set_xticks(place[::step], [str(window_number(name)) for name in windows[::step]])
    _dress(axes)


def _loss(cause: Cause) -> str:
    if cause.loss_share is None:
        return ""
    return f", {cause.loss_share:.0%} of the loss's rise"


def _numbers(values: tuple[float | None, ...]) -> list[float]:
    return [float("nan") if value is None else value for value in values]


def _dress(axes: Any) -> None:
    axes.tick_params(colors=INK, labelsize=7)
    axes.grid(True, axis="y", alpha=0.25, linewidth=0.6)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
