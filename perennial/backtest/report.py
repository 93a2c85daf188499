"""A backtest as a page with its pictures inside."""

from __future__ import annotations

import io
import math
from typing import Any

from perennial.backtest.result import Backtest, CostCurve, WindowDecision
from perennial.datasets.dates import in_words
from perennial.drift.reasons import action_in_words
from perennial.report.charts import COLOURS, INK, PAPER
from perennial.report.page import Figure, Table, render_picture
from perennial.store.layout import window_name

_LABELS = {
    "perennial": "Perennial",
    "every": "retrained at every window",
    "never": "never retrained",
    "periodic-5": "retrained at every fifth window",
    "hindsight": "best moments, seen afterwards",
    "arf": "adaptive random forest",
    "srp": "streaming random patches",
    "cusum": "retrained when the loss signals",
}
_COLOURS = {
    **COLOURS,
    "periodic-5": "#6b7280",
    "hindsight": "#7c3aed",
    "arf": "#0891b2",
    "srp": "#be185d",
    "cusum": "#65a30d",
}
_SHAPES = {"correct": ".", "retrain": "^", "hold": "s"}


def render_backtest(found: Backtest) -> str:
    """Write the page: loss over time by policy, the cost curve, every decision and why."""
    late = found.label_delay_windows
    figures = []
    if found.cost is not None:
        heading = (
            "Cost as a share of hindsight's: mean row loss plus alpha times the CPU seconds of all "
            "fits behind version 1, where hindsight chooses afterwards how often and when to "
            "retrain"
        )
        figures.append(Figure(heading, cost_picture(found.cost)))
    return render_picture(
        f"{found.pipeline}, a backtest",
        f"What each policy would have made of {found.rows:,} rows: the first "
        f"{found.train_fraction:.0%} train version 1, {found.windows} windows follow, labels "
        + (f"{late} windows late, " if late else "at the end of their window, ")
        + (
            "versions take over at once. "
            if found.at_once
            else "takeovers by the stages declared. "
        )
        + f"{found.metric}, {'higher' if found.greater_is_better else 'lower'} is better.",
        loss_picture(found),
        f"{found.metric} by window for each policy",
        _tables(found),
        _facts(found),
        figures,
    )


def loss_picture(found: Backtest) -> bytes:
    """Draw the metric over windows for each policy, and below it what was decided when: PNG."""
    figure, (top, bottom) = _figure(2, height=5.6, ratios=(5, 1.2))
    for name, result in reversed(found.policies.items()):
        mine = name == "perennial"
        scores = [math.nan if score is None else score for score in result.window_scores]
        top.plot(
            range(1, found.windows + 1),
            scores,
            color=_COLOURS[name],
            linewidth=2.4 if mine else 1.3,
            linestyle="-" if mine else (0, (5, 2)),
            label=f"{_LABELS[name]}: {result.score:.4g}",
            zorder=3 if mine else 2,
        )
    better = "higher" if found.greater_is_better else "lower"
    top.set_ylabel(f"{found.metric} ({better} is better)", color=INK)
    top.legend(frameon=False, fontsize=9, loc="best")
    _draw_decisions(bottom, found)
    return _png(figure)


def cost_picture(cost: CostCurve) -> bytes:
    """Draw loss plus alpha times CPU seconds, as a share of hindsight's: PNG."""
    figure, (axes,) = _figure(1, height=3.6, ratios=(1,))
    shares = [mine / best for mine, best in zip(cost.perennial, cost.hindsight, strict=True)]
    axes.axhline(1, color=_COLOURS["hindsight"], linestyle=(0, (5, 2)), linewidth=1.3)
    axes.plot(cost.alpha, shares, color=_COLOURS["perennial"], linewidth=2.4)
    axes.set_xscale("log")
    axes.set_ylim(0, max(2.0, min(max(shares), 3.0)))
    axes.set_xlabel("alpha: the price of a CPU second, in mean row loss", color=INK)
    axes.set_ylabel("cost, hindsight = 1", color=INK)
    return _png(figure)


def _figure(rows: int, *, height: float, ratios: tuple[float, ...]) -> tuple[Any, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, height), dpi=130, facecolor=PAPER)
    FigureCanvasAgg(figure)
    axes = figure.subplots(
        rows,
        1,
        sharex=rows > 1,
        squeeze=False,
        gridspec_kw={"height_ratios": ratios, "hspace": 0.06},
    )[:, 0]
    for one in axes:
        one.grid(True, alpha=0.25, linewidth=0.6)
        one.tick_params(colors=INK, labelsize=9)
        for side in ("top", "right"):
            one.spines[side].set_visible(False)
    return figure, axes


def _draw_decisions(axes: Any, found: Backtest) -> None:
    mine = found.policies.get("perennial")
    decisions = () if mine is None else mine.decisions
    kinds = [kind for kind in _SHAPES if any(d.decision == kind for d in decisions)]
    for level, kind in enumerate(kinds):
        windows = [d.window for d in decisions if d.decision == kind]
        axes.scatter(
            windows,
            [level] * len(windows),
            marker=_SHAPES[kind],
            color=_COLOURS["perennial"],
            s=42,
        )
    axes.set_yticks(range(len(kinds)), kinds, fontsize=8)
    axes.set_ylim(-0.6, max(len(kinds), 1) - 0.4)
    axes.set_xlabel("window", color=INK)
    axes.set_xlim(0.5, found.windows + 0.5)


def _png(figure: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", bbox_inches="tight", metadata={"Software": None})
    return buffer.getvalue()


def _facts(found: Backtest) -> list[tuple[str, str]]:
    mine = found.policies.get("perennial")
    if mine is None:
        return []
    facts = [
        (f"{mine.score:.4g}", found.metric),
        (str(mine.retrains), "retrains"),
        (str(mine.heals["correct"]), "corrections put on"),
        (f"{mine.cpu_seconds:.1f} s", "CPU of all fits"),
    ]
    if found.caveat:
        facts.insert(1, ("nothing", found.caveat.removeprefix("nothing ")))
    recovered = mine.recovered
    if recovered is not None:
        facts.insert(1, (f"{recovered:.2f}", "recovered; 1 is a retrain at every window"))
    return facts


def _tables(found: Backtest) -> list[Table]:
    header = ["policy", found.metric, "recovered", "corrections", "retrains", "fits", "CPU s"]
    rows = [_row(found, name) for name in found.policies]
    tables = [
        Table(
            "Policies",
            header,
            rows,
            f"{_about_recovered(found)} CPU seconds count all fits, trials and refused "
            "candidates. Reference models are scikit-learn's HistGradientBoosting with default "
            "parameters; hindsight is their best choice of as many moments, by dynamic "
            f"programming.{_about_hindsight(found)}",
        )
    ]
    mine = found.policies.get("perennial")
    if mine is not None:
        decisions = [_decision(told) for told in mine.decisions]
        tables.append(Table("Decisions", ["window", "decision", "reason"], decisions))
    return tables


def _about_recovered(found: Backtest) -> str:
    caveat = found.caveat
    if caveat:
        return f"{caveat[0].upper()}{caveat[1:]}."
    return "recovered is (policy - never) / (every - never)."


def _about_hindsight(found: Backtest) -> str:
    return f" Here it is the worse one: {found.about_hindsight}." if found.about_hindsight else ""


def _decision(told: WindowDecision) -> list[str]:
    which = in_words(window_name(told.window), told.dates)
    return [which.removeprefix("window "), action_in_words(told.decision), told.reason]


def _row(found: Backtest, name: str) -> list[str]:
    result, recovered = found.policies[name], found.policies[name].recovered
    return [
        _LABELS[name],
        f"{result.score:.4g}",
        "" if recovered is None else f"{recovered:.2f}",
        str(result.heals["correct"]),
        str(result.retrains),
        str(result.fits),
        f"{result.cpu_seconds:.1f}",
    ]
