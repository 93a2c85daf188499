"""Put down that the monitor has run over a pipeline, and tell people when it keeps failing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from prefect.logging import get_run_logger

from perennial.errors import StoreError
from perennial.registry import (
    MISSED,
    after_look,
    find_declaration,
    known_pipelines,
    look_streak,
    missed_looks,
    newest_history,
    read_look,
    resolve,
    retrain_streak,
)
from perennial.store import layout
from perennial.store.lease import utc_now
from tasks.connection import settings, store
from tasks.each import SetAside, for_each
from tasks.notify import notify
from tasks.step import step


@contextmanager
def noted_look(pipeline: str) -> Iterator[None]:
    """Put down how a run over a pipeline ends, whatever it raises."""
    name = pipeline.rstrip("/").rpartition("/")[2]
    try:
        yield
    except Exception as error:
        _note(name, " ".join(str(error).split()) or type(error).__name__)
        raise
    _note(name, None)


def _note(pipeline: str, fault: str | None) -> None:
    """Nothing where the store knows no such pipeline: then a name was misspelt."""
    try:
        if find_declaration(store(), pipeline) is None:
            return
        look = after_look(read_look(store(), pipeline), utc_now(), fault)
        store().put_json(layout.look(pipeline), look)
    except StoreError as error:  # of which the fault may come
        get_run_logger().warning("that the monitor has run is not put down: %s", error)
        return
    streak = look_streak(look)
    if streak.loud:
        reason = streak.told("monitor run")
        title = "the monitor keeps failing, nobody looks at the stream"
        notify(pipeline, title, reason, incident=f"monitor-{streak.incident}")


@step(retries=2, retry_delay_seconds=2)
def tell_stopped_monitors() -> list[SetAside]:
    """Tell people of pipelines over which the monitor does not run though its schedule says so.

    Returns:
        Pipelines of which that cannot be said.
    """
    return for_each(known_pipelines(store()), _tell_stopped)[1]


def _tell_stopped(pipeline: str) -> None:
    schedule = resolve(
        store(), pipeline, settings().pipeline_folders, settings().trusted_folders
    ).spec.monitor.schedule
    look = read_look(store(), pipeline)
    trained = retrain_streak(newest_history(store(), pipeline)).success
    if look is None or missed_looks(schedule, look, trained, utc_now()) < MISSED:
        return
    since = f"{look.at:%Y-%m-%d %H:%M} UTC"
    notify(
        pipeline,
        "the monitor does not run, nobody looks at the stream",
        f"it has not run since {since}, and {MISSED} runs or more were due by {schedule!r}",
        incident=f"monitor-stopped-{look.at:%Y%m%dT%H%M%S}",
    )
