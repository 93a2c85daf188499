"""Judge the windows that came since the last check, and ask for a heal until one has answered."""

from __future__ import annotations

from prefect.logging import get_run_logger

from perennial.datasets.dates import in_words
from perennial.drift.decision import Decision
from perennial.drift.record import Check
from perennial.errors import Conflict
from perennial.loop.inspection import Expectations
from perennial.loop.log_stream import LogStream, reader_from, see_source
from perennial.loop.monitor import PipelineMonitor
from perennial.loop.places import Place
from perennial.loop.record import (
    WindowCheck,
    asks_for_heal,
    newest_checks,
    oldest_remembered,
)
from perennial.loop.versions import Champion, find_champion
from perennial.registry import Declaration, read_state
from perennial.rollout.stages import in_flight
from perennial.store import layout
from tasks import events
from tasks.check_artifact import CheckRef, publish_checks, tell_held, tell_labels_missing
from tasks.connection import fetch, store
from tasks.drift_artifact import publish_drift
from tasks.expectations import sound_suite
from tasks.notify import notify
from tasks.step import step
from tasks.under_way import is_under_way


@step(retries=2, retry_delay_seconds=2)
def check_windows(declaration: Declaration) -> list[CheckRef]:
    """Judge every full window behind the last check; each verdict is written before the next."""
    name = declaration.spec.name
    champion = find_champion(store(), name)
    if champion is None:
        get_run_logger().info("%s has no version yet: there is nothing to judge", name)
        return []
    monitor = _monitor(declaration, champion)
    done = []
    for check in monitor.checks():
        ref = _write(check)
        if ref is None:
            break
        done.append(ref)
        tell_held(name, ref, monitor.history)
        tell_labels_missing(name, check, monitor.recent[:-1])
    return done


def _monitor(declaration: Declaration, champion: Champion) -> PipelineMonitor:
    spec = declaration.spec
    oldest = oldest_remembered(store(), spec.name)
    place = None if oldest is None else Place.model_validate(oldest.cursor).end
    source, away = see_source(store(), declaration, champion.version, fetch)
    stream = LogStream(reader_from(store(), spec.name, place), spec, source, away)
    return PipelineMonitor(store(), spec, stream, champion, Expectations(*sound_suite(declaration)))


@step(retries=3, retry_delay_seconds=2)
def repeat_requests(declaration: Declaration, done: list[CheckRef]) -> Decision | None:
    """Send the events that nobody has answered: a confirmed drift, a version that waits.

    An event may be lost; what it tells stands in the store, so it is sent at each check until the
    state says that it was answered, or Prefect that a run is about to.

    Args:
        done: checks of this look, of which nobody can have heard yet.

    Returns:
        The decision by which a heal is being asked for, or None.
    """
    name = declaration.spec.name
    state = read_state(store(), name).state
    asking = asks_for_heal(store(), name, done, state.answered)
    if asking is not None:
        is_new = any(asking is check for check in done)
        if is_new or not is_under_way(layout.check(name, asking.window)):
            _ask_for_heal(name, asking)
    if state.challenger is not None or in_flight(state):
        events.emit(events.ROLLOUT_CONTINUES, name, {"version": state.challenger})
    if asking is None:
        return None
    notify(
        name,
        asking.decision.title.lower(),
        asking.decision.told,
        incident=f"drift-{asking.window}",
    )
    return asking.decision


def _ask_for_heal(pipeline: str, asking: CheckRef | Check) -> None:
    events.emit(
        events.DRIFT_CONFIRMED,
        pipeline,
        {
            "window": asking.window,
            "reason": asking.decision.told,
            "verdict": layout.check(pipeline, asking.window),
            "depth": asking.decision.depth or "retrain",
        },
    )


@step(retries=2, retry_delay_seconds=2)
def show_checks(declaration: Declaration, done: list[CheckRef]) -> None:
    """Show what a look found; behind its events, so that no heal waits for pictures."""
    if not done:
        return
    name = declaration.spec.name
    recent = [*newest_checks(store(), name)][::-1]
    base = recent[-1].base or recent[-1].champion
    history = [check for check in recent if (check.base or check.champion) == base]
    publish_checks(name, history)
    publish_drift(name, history, len(done))


def _write(check: WindowCheck) -> CheckRef | None:
    """Write a check once; None where another monitor judged this window first."""
    key = layout.check(check.pipeline, check.window)
    which = in_words(check.window, check.dates)
    try:
        store().put_json(key, check, if_absent=True)
    except Conflict:
        get_run_logger().info("%s was judged by another run at the same time", which)
        return None
    get_run_logger().info("%s: %s, %s", which, check.decision.name, check.decision.reason)
    if str(check.feedback or ""):
        get_run_logger().warning("%s: %s", which, check.feedback)
    return CheckRef(
        key=key,
        window=check.window,
        decision=check.decision,
        held_briefly="; ".join(v.brief for v in check.data) or None,
        held="; ".join(f"{v.brief} ({v.reason})" for v in check.data) or None,
        suite_fault=check.suite_fault,
    )
