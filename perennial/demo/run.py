"""``perennial demo``: from a pipeline's folder to a report."""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from perennial.backtest.baselines import BaselinePolicy, BaselineRun, every_gains, run_baseline
from perennial.datasets.dates import in_words
from perennial.demo.display import Display
from perennial.demo.memory import MemoryWatch
from perennial.demo.plan import TRAIN_FRACTION, Plan, make_plan
from perennial.demo.play import Demo
from perennial.demo.summary import (
    Heal,
    Score,
    Summary,
    Trace,
    read_trace,
    summarise,
    window_scores,
)
from perennial.demo.unhealed import Held, PassedOver
from perennial.drift.record import Check
from perennial.errors import SpecError
from perennial.evaluation.metrics import GREATER_IS_BETTER, score
from perennial.local import RunningStack, ensure_up, offer_pipelines, stop
from perennial.registry import in_sight, read_history
from perennial.report.charts import loss_chart
from perennial.report.drift import drift_chart
from perennial.report.page import Figure, Table, render
from perennial.report.story import Mark, MarkKind, Series, Story
from perennial.settings import local_folders
from perennial.store import Store, layout, open_store
from perennial.writable import check_folder

_NICE = 10
_BROKEN = (
    "In one the demo breaks the pipe on purpose: a feature holds one value, in the requests as "
    "they are served."
)
YARDSTICKS: tuple[BaselinePolicy, ...] = ("never", "every")


@dataclass(frozen=True)
class DemoFiles:
    """Where a demo leaves what it found."""

    html: Path
    png: Path
    json: Path


def run_demo(
    source: Path, directory: Path, *, windows: int | None, keep: bool, console: Console
) -> tuple[Summary, DemoFiles]:
    """Play a pipeline's stream on the embedded stack and write the report.

    A stack that is up already is used and stays up; else it is started, and stopped at the end.

    Args:
        source: the pipeline's folder.
        directory: of the stack; the report goes to its ``demo/NAME/``, and the newest one of all
            demos is found in ``demo/`` too.
        windows: how many; None for the default.
        keep: leave the stack up.
    """
    folder = directory / "demo"
    check_folder(folder)
    plan = make_plan(source, folder, windows)
    taken = in_sight(local_folders(directory)).get(plan.spec.name)
    if taken is not None:
        raise SpecError(
            f"the demo of {plan.title} would be called {plan.spec.name}, as is the pipeline in "
            f"{taken[0]}: give that one another name"
        )
    stack = ensure_up(directory, progress=console.print)
    try:
        summary, story, drifts = _play(plan, stack, console)
    finally:
        if stack.started and not keep:
            console.print("stopping the stack")
            stop(directory)
        else:
            offer_pipelines(directory)  # and with that no demo
    return summary, _write(plan.folder, summary, story, drifts)


def _play(plan: Plan, stack: RunningStack, console: Console) -> tuple[Summary, Story, list[Figure]]:
    store = open_store(stack.settings)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context, initializer=_be_nice) as pool:
        waiting = {name: pool.submit(_baseline, name, plan) for name in YARDSTICKS}
        with (
            MemoryWatch([stack.pids["supervisor"]]) as memory,
            Display(console, plan.cut.windows) as display,
        ):
            played = Demo(plan, stack.settings, store, display).play()
        console.print("comparing with a model never retrained and one retrained at every window")
        never, every = (waiting[name].result() for name in YARDSTICKS)
    trace = read_trace(store, plan)
    scores = Score(
        perennial=score(plan.spec.metric, trace.y, trace.output),
        never=never.score,
        every=every.score,
    )
    gains = every_gains(plan.frame, plan.spec, never.outputs, every.outputs)
    summary = summarise(store, plan, played, trace, scores, memory.peak_mb, gains=gains)
    story = _story(store, plan, summary, trace, never, every)
    return summary, story, _drifts(store, summary)


def _be_nice() -> None:
    """The yardsticks are computed beside the demo and must not slow it down."""
    import os

    os.nice(_NICE)


def _baseline(name: BaselinePolicy, plan: Plan) -> BaselineRun:
    return run_baseline(
        name,
        plan.frame,
        plan.spec,
        windows=plan.cut.windows,
        train_fraction=TRAIN_FRACTION,
        label_delay_windows=plan.cut.label_delay_windows,
        jobs=1,
    )


def _story(
    store: Store, plan: Plan, summary: Summary, trace: Trace, never: BaselineRun, every: BaselineRun
) -> Story:
    return Story(
        pipeline=plan.title,
        metric=plan.spec.metric,
        greater_is_better=GREATER_IS_BETTER[plan.spec.metric],
        perennial=Series(
            name="perennial",
            scores=window_scores(plan, trace),
            pooled=summary.score.perennial,
            retrains=summary.retrains,
            corrections=summary.corrections,
        ),
        never=_series("never", never),
        every=_series("every", every),
        marks=_marks(store, summary),
        recovered=summary.recovered,
        nothing_to_recover=summary.nothing_to_recover,
    )


def _series(name: str, run: BaselineRun) -> Series:
    scores = list(run.window_scores)
    return Series(name=name, scores=scores, pooled=run.score, retrains=run.fits - 1)


def _marks(store: Store, summary: Summary) -> tuple[Mark, ...]:
    marks: list[Mark] = []
    kinds: dict[str, MarkKind] = {
        "version.registered": "registered",
        "version.refused": "refused",
    }
    for entry in read_history(store, summary.pipeline):
        if entry.event in kinds and entry.cause is not None:
            window = layout.window_number(layout.checked_window(entry.cause))
            marks.append(Mark(window, "confirmed", entry.reason))
            marks.append(Mark(window, kinds[entry.event], entry.version or ""))
    for taken in summary.promotions[1:]:
        if taken.window is not None:
            marks.append(Mark(taken.window, "took over", taken.version))
    marks += [Mark(held.window, "held", held.reason) for held in summary.held]
    return tuple(marks)


def _drifts(store: Store, summary: Summary) -> list[Figure]:
    """What was behind the drifts that were healed, where features had shifted."""
    figures = []
    for heal in summary.heals:
        key = layout.check(summary.pipeline, layout.window_name(heal.window))
        check = Check.model_validate_json(store.get(key).data)
        if check.why is not None and check.why.causes:
            which = in_words(check.window, check.dates)
            picture = drift_chart(check.why, {check.window: check.dates})
            figures.append(Figure(f"What had drifted in {which}", picture))
    return figures


def _write(folder: Path, summary: Summary, story: Story, drifts: Sequence[Figure]) -> DemoFiles:
    files = DemoFiles(folder / "report.html", folder / "report.png", folder / "summary.json")
    files.png.write_bytes(loss_chart(story))
    files.html.write_text(
        render(story, _tables(summary), _facts(summary), drifts), encoding="utf-8"
    )
    files.json.write_text(summary.model_dump_json(indent=2) + "\n", encoding="utf-8")
    for file in (files.html, files.png, files.json):
        _point_to(file, folder.parent / file.name)
    return files


def _point_to(file: Path, link: Path) -> None:
    """Have a short address lead to the newest demo's file."""
    link.unlink(missing_ok=True)
    link.symlink_to(file.relative_to(link.parent))


def _recovered(summary: Summary) -> tuple[str, str]:
    if summary.recovered is None:
        return "nothing", summary.nothing_to_recover.removeprefix("nothing ")
    return f"{summary.recovered:.0%}", "recovered of what retraining at every window gains"


def _facts(summary: Summary) -> list[tuple[str, str]]:
    return [
        _recovered(summary),
        (
            f"{summary.retrains} and {summary.corrections}",
            f"new models and corrections over {summary.windows} windows",
        ),
        (
            f"{len(summary.held)} and {len(summary.passed_over)}",
            "windows held, and alarms rightly not acted on",
        ),
        (f"{summary.requests.answered:,}", f"requests answered, {summary.requests.failed} failed"),
        (f"{summary.log.predictions:,}", "predictions in the log"),
        (f"{summary.wall_seconds:.0f} s", "wall time"),
    ]


def _tables(summary: Summary) -> list[Table]:
    scores = [(name, f"{value:.4g}") for name, value in summary.score.model_dump().items()]
    heals = [
        (
            _which(heal),
            heal.reason,
            heal.version,
            f"{heal.seconds.confirm_to_first_line:.1f} s",
            f"{heal.seconds.train:.1f} s",
            f"{heal.seconds.total:.1f} s",
        )
        for heal in summary.heals
    ]
    held = summary.held
    return [
        Table(
            f"{summary.metric} over all {summary.rows:,} rows behind the first fifth",
            ("policy", summary.metric),
            scores,
        ),
        Table(
            "Heals",
            ("window", "why", "version", "to the first line", "training", "to the takeover"),
            heals,
            "Seconds from the confirmed drift. Nobody started these: an event did.",
        ),
        Table(
            "Heals that came to nothing",
            ("window", "depth", "what became of it", "why, and what helps"),
            [(str(r.window), r.depth, r.what, r.reason) for r in summary.refusals],
            "The champion stayed.",
        ),
        Table(
            "Windows that were held",
            ("window", "why", "broken by"),
            [(_which(h), h.reason, "the demo" if h.by_demo else "the data") for h in held],
            " ".join(["Nothing was learned from them.", *[_BROKEN for h in held if h.by_demo]]),
        ),
        Table(
            "Alarms that were rightly not acted on",
            ("window", "inputs that had shifted", "decision", "loss, times its reference"),
            [
                (_which(p), ", ".join(p.shifted), p.reason, f"{p.loss_over_promise:.2f}")
                for p in summary.passed_over
            ],
            "The shift was confirmed, the champion stayed, and its loss did not rise, as later "
            "labels showed.",
        ),
    ]


def _which(told: Heal | Held | PassedOver) -> str:
    return in_words(layout.window_name(told.window), told.dates).removeprefix("window ")


def final_table(summary: Summary) -> list[tuple[str, str]]:
    """The lines printed at the end of a demo."""
    return [
        *((f"{summary.metric}, {k}", f"{v:.4g}") for k, v in summary.score.model_dump().items()),
        *((what, figure) for figure, what in _facts(summary)),
        ("peak memory of the stack", f"{summary.peak_rss_mb:,.0f} MB"),
    ]
