"""Replay policies over a pipeline's source."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.logging import get_run_logger
from pydantic import BaseModel
from ulid import ULID

from perennial.backtest.policies import POLICIES, PolicyName
from perennial.datasets.source import read_source
from perennial.registry import Declaration
from perennial.store import layout
from tasks.artifacts import link, publish, table
from tasks.connection import fetch, store
from tasks.step import step

if TYPE_CHECKING:
    from perennial.backtest.result import Backtest

_STEP = 5.0
"""Percent between two looks at the progress."""


class Replayed(BaseModel):
    """A backtest by the keys of its figures and its page."""

    figures: str
    page: str
    told: str
    """What came of it, in a line."""


@step
def replay_policies(
    declaration: Declaration,
    policies: list[PolicyName] | None,
    windows: int,
    train_fraction: float,
    label_delay_windows: int,
    seed: int | None,
    at_once: bool,
) -> Replayed:
    """Run the backtest on all cores; write figures and page, and show both.

    Raises:
        SourceError: the source cannot be read, or has too few rows for so many windows.
    """
    from perennial.backtest.compare import backtest
    from perennial.backtest.report import render_backtest
    from perennial.backtest.stream import seeded

    spec = declaration.spec
    if seed is not None:
        spec = seeded(spec, seed)
    found = backtest(
        read_source(spec, declaration.path, fetch=fetch),
        spec,
        policies=policies or POLICIES,
        windows=windows,
        train_fraction=train_fraction,
        label_delay_windows=label_delay_windows,
        at_once=at_once,
        folder=declaration.path,
        progress=_progress(spec.name),
    )
    name = str(ULID())
    done = Replayed(
        figures=layout.backtest(spec.name, name),
        page=layout.backtest_page(spec.name, name),
        told=_told(found),
    )
    store().put_json(done.figures, found)
    page = render_backtest(found).encode()
    store().put(done.page, page, content_type="text/html; charset=utf-8")
    text = f"{link(done.page, 'The page')}; figures: `{done.figures}`.\n\n{_markdown(found)}"
    publish("backtest", spec.name, text, description=done.told)
    get_run_logger().info("%s", done.told)
    return done


def _progress(pipeline: str) -> Callable[[int, int], None]:
    artifact = create_progress_artifact(
        0.0, key=f"backtest-progress-{pipeline}", description="fits and replay"
    )
    assert isinstance(artifact, UUID)
    shown = 0.0

    def progress(done: int, total: int) -> None:
        nonlocal shown
        percent = 100.0 * done / total
        if percent >= shown + _STEP or done == total:
            shown = percent
            update_progress_artifact(artifact, percent)

    return progress


def _told(found: Backtest) -> str:
    scores = {name: f"{result.score:.4g}" for name, result in found.policies.items()}
    share = _share(found, "perennial") if "perennial" in scores else ""
    if share:
        scores["perennial"] += f" ({share} recovered)"
    told = f"{found.metric}: {', '.join(' '.join(pair) for pair in scores.items())}"
    return f"{told}; {found.caveat}" if found.caveat else told


def _markdown(found: Backtest) -> str:
    better = "higher" if found.greater_is_better else "lower"
    head = (
        f"{found.rows:,} rows, {found.windows} windows after the first {found.train_fraction:.0%}, "
        f"labels {found.label_delay_windows} windows late; {found.metric}, {better} is better. "
        + " ".join(f"{s[0].upper()}{s[1:]}." for s in (found.caveat, found.about_hindsight) if s)
    )
    rows = [
        (
            name,
            result.score,
            _share(found, name),
            result.heals["correct"],
            result.retrains,
            result.fits,
            result.cpu_seconds,
        )
        for name, result in found.policies.items()
    ]
    header = ["policy", found.metric, "recovered", "corrections", "retrains", "fits", "CPU seconds"]
    return f"{head}\n\n{table(header, rows)}"


def _share(found: Backtest, policy: str) -> str:
    recovered = found.policies[policy].recovered
    return "" if recovered is None else f"{recovered:.0%}"
