"""The picture of a rollout: the confidence sequence of the loss, the margin, stages, guardrails."""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from perennial.registry import HistoryEntry, State
from perennial.report.charts import INK, PAPER
from perennial.rollout.check import Check, Status
from perennial.rollout.decision import Decision
from perennial.rollout.evidence import Evidence
from perennial.rollout.loss_test import Trail, trail
from perennial.spec import PipelineSpec

_BAND = "#0f766e"
_MARGIN = "#be123c"
_STATUS: dict[Status, str] = {"green": "#0f766e", "waiting": "#b45309", "breach": "#be123c"}
_OUTSIDE = 1.3
"""How much of the axis lies beyond what it has to show."""


@dataclass(frozen=True)
class StageMark:
    """Where on the axis of labelled rows a stage began."""

    rows: int
    label: str


@dataclass(frozen=True)
class RolloutPicture:
    """All that the chart shows."""

    title: str
    margin: float
    confidence: float
    trail: Trail
    stages: tuple[StageMark, ...]
    guardrails: tuple[Check, ...]


def rollout_picture(
    spec: PipelineSpec,
    title: str,
    evidence: Evidence,
    decision: Decision,
    stages: tuple[StageMark, ...],
) -> RolloutPicture:
    """Put together what a look at a rollout saw."""
    apart = {"loss", "rows", "labels"}
    return RolloutPicture(
        title=title,
        margin=spec.rollout.margin,
        confidence=1 - spec.rollout.alpha,
        trail=trail(evidence.losses, spec.rollout),
        stages=stages,
        guardrails=tuple(check for check in decision.checks if check.name not in apart),
    )


def stage_marks(entries: Iterable[HistoryEntry], state: State) -> tuple[StageMark, ...]:
    """Find where the stages of the rollout under way began: in the history since it began."""
    marks = []
    for entry in entries:
        now = entry.after
        if now is None or entry.event not in ("rollout.advanced", "rollout.promoted"):
            continue
        if state.stage == "bake" and now.stage == "bake":
            marks = [StageMark(0, "bake")]
        elif now.challenger is not None and now.challenger == state.challenger:
            share = f" {now.weight:.0%}" if now.stage == "canary" else ""
            marks.append(StageMark(entry.details.get("labelled_rows", 0), f"{now.stage}{share}"))
    return tuple(marks)


def rollout_chart(picture: RolloutPicture, *, dpi: int = 120) -> bytes:
    """Draw a picture; PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 5), dpi=dpi, facecolor=PAPER)
    FigureCanvasAgg(figure)
    lines = max(len(picture.guardrails), 1)
    top, bottom = figure.subplots(2, 1, gridspec_kw={"height_ratios": [10, lines], "hspace": 0.28})
    _draw_sequence(top, picture)
    _draw_stages(top, picture.stages)
    _draw_guardrails(bottom, picture.guardrails)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", bbox_inches="tight", metadata={"Software": None})
    return buffer.getvalue()


def _draw_sequence(axes: Any, picture: RolloutPicture) -> None:
    path = picture.trail
    reach = _reach(picture)
    low, high = np.clip(path.low, -reach, reach), np.clip(path.high, -reach, reach)
    label = f"at {picture.confidence:.0%} on each side, at every row at once"
    axes.fill_between(path.rows, low, high, step="post", color=_BAND, alpha=0.18, label=label)
    axes.plot(path.rows, path.mean, color=_BAND, linewidth=1.8, label="difference so far")
    margin = f"margin {picture.margin:+.1%}"
    axes.axhline(picture.margin, color=_MARGIN, linewidth=1.4, linestyle=(0, (5, 2)), label=margin)
    axes.axhline(0.0, color=INK, linewidth=0.6)
    axes.set_ylim(-reach, reach)
    axes.set_xlim(0, max(int(path.rows[-1]) if len(path.rows) else 0, 1))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:+.0%}")
    axes.set_xlabel("labelled rows that both models were held to", color=INK, fontsize=9)
    axes.set_ylabel("loss against the champion", color=INK)
    axes.set_title(picture.title, loc="left", color=INK, fontsize=11, fontweight="bold")
    axes.legend(frameon=False, fontsize=8, loc="upper right")
    axes.tick_params(colors=INK, labelsize=9)
    axes.grid(True, alpha=0.25, linewidth=0.6)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _reach(picture: RolloutPicture) -> float:
    """How far the axis goes to either side: so that margin and outcome are in sight."""
    shown = [picture.margin, 0.1]
    path = picture.trail
    shown += [abs(float(v)) for v in path.mean[len(path.mean) // 2 :] if np.isfinite(v)]
    shown += [
        abs(float(edge[-1])) for edge in (path.low, path.high) if np.isfinite(edge[-1:]).any()
    ]
    return _OUTSIDE * max(shown)


def _draw_stages(axes: Any, stages: tuple[StageMark, ...]) -> None:
    for level, mark in enumerate(stages):
        axes.axvline(mark.rows, color=INK, linewidth=0.8, alpha=0.5)
        axes.annotate(
            mark.label,
            (mark.rows, 0.02 + 0.06 * (level % 4)),
            xycoords=("data", "axes fraction"),
            xytext=(3, 0),
            textcoords="offset points",
            fontsize=8,
            color=INK,
        )


def _draw_guardrails(axes: Any, checks: tuple[Check, ...]) -> None:
    axes.axis("off")
    axes.set_ylim(-0.5, max(len(checks), 1) - 0.5)
    axes.set_xlim(0, 1)
    for level, check in enumerate(reversed(checks)):
        axes.scatter([0.005], [level], color=_STATUS[check.status], s=30, clip_on=False)
        text = f"{check.name}: {check.detail}"
        axes.text(0.02, level, text, fontsize=8, color=INK, va="center")
