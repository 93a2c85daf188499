"""Charts as PNG."""

from __future__ import annotations

import io
from typing import Any

from perennial.report.story import Mark, Story

INK = "#1f2937"
PAPER = "#ffffff"
COLOURS = {"perennial": "#0f766e", "every": "#9a8c5a", "never": "#b45309"}
_MARKS = {
    "confirmed": ("v", "#be123c", "heal asked for"),
    "registered": ("o", "#1d4ed8", "version registered"),
    "refused": ("x", "#6b7280", "candidate refused"),
    "took over": ("^", "#0f766e", "version took over"),
    "held": ("s", "#7c3aed", "data held"),
}
_LABELS = {
    "perennial": "Perennial",
    "every": "retrained at every window",
    "never": "never retrained",
}


def loss_chart(story: Story, *, dpi: int = 130) -> bytes:
    """Draw the metric over windows for each policy, with marks where something happened."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 5.2), dpi=dpi, facecolor=PAPER)
    FigureCanvasAgg(figure)
    top, bottom = figure.subplots(
        2, 1, sharex=True, gridspec_kw={"height_ratios": [5, 1], "hspace": 0.06}
    )
    _draw_series(top, story)
    _draw_marks(bottom, story.marks)
    _dress(top, bottom, story)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", bbox_inches="tight", metadata={"Software": None})
    return buffer.getvalue()


def _draw_series(axes: Any, story: Story) -> None:
    for series in reversed(story.series):
        name = series.name
        axes.plot(
            range(1, len(series.scores) + 1),
            series.scores,
            color=COLOURS[name],
            linewidth=2.4 if name == "perennial" else 1.5,
            linestyle="-" if name == "perennial" else (0, (5, 2)),
            label=f"{_LABELS[name]}: {series.pooled:.4g}",
            zorder=3 if name == "perennial" else 2,
        )
    for mark in story.marks:
        if mark.kind == "took over":
            axes.axvline(mark.window, color=COLOURS["perennial"], alpha=0.18, linewidth=5)


def _draw_marks(axes: Any, marks: tuple[Mark, ...]) -> None:
    kinds = [kind for kind in _MARKS if any(mark.kind == kind for mark in marks)]
    for level, kind in enumerate(reversed(kinds)):
        shape, colour, _ = _MARKS[kind]
        windows = [mark.window for mark in marks if mark.kind == kind]
        axes.scatter(windows, [level] * len(windows), marker=shape, color=colour, s=42, zorder=3)
    axes.set_yticks(range(len(kinds)), [_MARKS[kind][2] for kind in reversed(kinds)], fontsize=8)
    axes.set_ylim(-0.6, max(len(kinds), 1) - 0.4)


def _dress(top: Any, bottom: Any, story: Story) -> None:
    better = "higher" if story.greater_is_better else "lower"
    top.set_ylabel(f"{story.metric} ({better} is better)", color=INK)
    top.set_title(title(story), loc="left", color=INK, fontsize=12, fontweight="bold")
    top.legend(frameon=False, fontsize=9, loc="best")
    bottom.set_xlabel("window", color=INK)
    bottom.set_xlim(0.5, len(story.perennial.scores) + 0.5)
    for axes in (top, bottom):
        axes.grid(True, axis="x" if axes is bottom else "both", alpha=0.25, linewidth=0.6)
        axes.tick_params(colors=INK, labelsize=9)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)


def title(story: Story) -> str:
    """What the picture shows, in a line or two."""
    made = f"new models: {story.perennial.retrains}, corrections: {story.perennial.corrections}"
    if story.recovered is None:
        return f"{story.pipeline}: {story.nothing_to_recover}\n{made}"
    return (
        f"{story.pipeline}: {story.recovered:.0%} of what {story.every.retrains} retrains recover; "
        f"{made}"
    )
