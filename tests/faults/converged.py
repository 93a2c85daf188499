"""What must hold when a round is over."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime

from perennial.datasets.log import ANSWERING_ROLES
from perennial.datasets.log_reader import (
    SegmentReader,
    flatten_predictions,
    list_segments,
    read_feedback,
)
from perennial.loop.replay import replay
from perennial.registry import resolve
from perennial.store import layout
from tests.e2e.rollouts import TERMINAL
from tests.faults.patient import Patient, call


def problems(patient: Patient) -> Iterator[str]:
    """Say what does not hold, or not yet."""
    yield from _champion(patient)
    yield from _history(patient)
    yield from _runs(patient)
    yield from _log(patient)


def differences(patient: Patient) -> Iterator[str]:
    """Decide all again, and say what does not come out as it was written down."""
    declaration = resolve(patient.store, patient.name, [patient.folder.parent])
    for window in replay(patient.store, declaration, fetch=lambda bucket, key: b""):
        if not window.same:
            told = window.lost or "; ".join(map(str, window.differences))
            yield f"{window.window} does not come out the same again: {told}"


def _champion(patient: Patient) -> Iterator[str]:
    state = patient.state
    healed = [e for e in patient.history if e.event == "version.registered" and e.cause]
    if not healed:
        yield "no heal was registered"
        return
    if state.champion != healed[-1].version:
        yield f"{state.champion} is champion, not {healed[-1].version}"
    if (state.challenger, state.stage, state.waiting) != (None, "idle", None):
        yield f"the rollout is not over: {state.stage}, {state.challenger}, {state.waiting}"
    if not patient.served(str(state.champion)):
        yield f"the server does not answer with {state.champion}"


def _history(patient: Patient) -> Iterator[str]:
    entries = patient.history
    numbers = [e.revision for e in entries if e.revision is not None]
    if numbers != list(range(1, patient.state.revision + 1)):
        yield f"the history has holes: {numbers}, and the state is at {patient.state.revision}"
    answers = Counter(
        e.cause
        for e in entries
        if e.cause is not None and e.event in ("version.registered", "version.refused")
    )
    for cause, count in answers.items():
        if count > 1:
            yield f"{cause} was answered {count} times"
    promoted = [e.version for e in entries if e.event == "rollout.promoted"]
    if len(set(promoted)) != len(promoted):
        yield f"promoted twice: {promoted}"


def _runs(patient: Patient) -> Iterator[str]:
    now = datetime.now(UTC)
    for run in patient.runs():
        if run["state_type"] in TERMINAL:
            continue
        planned = run["next_scheduled_start_time"]
        if run["auto_scheduled"] and planned and datetime.fromisoformat(planned) > now:
            continue
        yield f"the run {run['name']} is {run['state_name']}"
    for limit in call(patient.stack, "/v2/concurrency_limits/filter", {}):
        if limit["active_slots"]:
            yield f"{limit['name']} holds {limit['active_slots']} slots"


def _log(patient: Patient) -> Iterator[str]:
    reader = SegmentReader(patient.store)
    seen: Counter[str] = Counter()
    for segment in list_segments(patient.store, layout.prediction_log(patient.name)):
        frame = flatten_predictions(reader.read(segment))
        seen.update(frame.loc[frame["_role"].isin(ANSWERING_ROLES), "_id"])
    missing = set(patient.answered) - set(seen)
    if missing:
        yield f"{len(missing)} answered requests are not in the log"
    twice = [name for name, count in seen.items() if count > 1]
    # A request whose connection broke is asked again under its id, and may have been answered.
    if len(twice) > patient.client.tally.repeated * 50:
        yield f"{len(twice)} requests are in the log more than once"
    labels = set(read_feedback(reader, patient.name).index)
    if lost := patient.labelled - labels:
        yield f"{len(lost)} labels were lost"
