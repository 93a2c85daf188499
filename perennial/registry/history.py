"""``history/``: append-only; what changed, when, why, by whom."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from ulid import ULID

from perennial.errors import Conflict
from perennial.spec import Costs
from perennial.store import Store, layout, read_record
from perennial.store.lease import utc_now

Event = Literal[
    "version.registered",
    "version.refused",
    "retrain.held",
    "retrain.failed",
    "rollout.advanced",
    "rollout.approved",
    "rollout.promoted",
    "rollout.finished",
    "rollout.rolled_back",
    "model.refused",
    "registry.swept",
]


_OWN = 2**60
"""What of an id was drawn by chance."""
Stage = Literal["idle", "registered", "shadow", "canary", "bake"]
"""idle: the champion alone. registered: a challenger waits. shadow: it sees copies of the requests.
canary: it answers a share of them. bake: it is champion, the previous one is kept warm."""


class Standing(BaseModel):
    """Who answers, and with what share."""

    model_config = ConfigDict(frozen=True)

    champion: str | None
    challenger: str | None
    stage: Stage
    weight: float
    """Share of the requests that the challenger answers."""
    answered: str | None = None
    """The last window whose heal a retrain has answered, whatever came of it."""

    def __str__(self) -> str:
        if self.champion is None:
            return "nobody answers yet"
        if self.stage == "canary":
            return f"{self.champion} {1 - self.weight:.0%}, {self.challenger} {self.weight:.0%}"
        shadow = f", {self.challenger} in its shadow" if self.stage == "shadow" else ""
        return f"{self.champion} 100%{shadow}"


class HistoryEntry(BaseModel):
    """One change of a pipeline."""

    model_config = ConfigDict(frozen=True)

    format: Literal[1] = 1
    id: str
    at: AwareDatetime
    event: Event
    version: str | None = None
    reason: str
    by: str
    """The run, server or person that did it."""
    cause: str | None = None
    """Key of the check that led to it."""
    details: dict[str, Any] = Field(default_factory=dict)
    after: Standing | None = None
    """What held from then on; None: the state stayed as it was."""
    revision: int | None = None
    """Of the state that it made: without a gap from 1 on. None: the state stayed as it was."""


def new_entry(
    event: Event,
    *,
    reason: str,
    by: str,
    version: str | None = None,
    cause: str | None = None,
    details: dict[str, Any] | None = None,
    at: datetime | None = None,
) -> HistoryEntry:
    """Describe a change that is about to happen, now or ``at``; its id sorts by time."""
    at = at or utc_now()
    return HistoryEntry(
        id=str(ULID.from_datetime(at)),
        at=at,
        event=event,
        version=version,
        reason=reason,
        by=by,
        cause=cause,
        details=details or {},
    )


def behind(entry: HistoryEntry, last: HistoryEntry | None) -> HistoryEntry:
    """Give an entry an id that sorts behind the last change's, though the clock went back since,
    and that no other writer's entry has."""
    if last is None or entry.id > last.id:
        return entry
    own = int(ULID.from_str(entry.id)) % _OWN
    later = int(ULID.from_str(last.id)) + 1 + own
    return entry.model_copy(update={"id": str(ULID.from_int(later))})


def append_history(store: Store, pipeline: str, entry: HistoryEntry) -> None:
    """Write an entry once; one that is there already is left as it is."""
    try:
        store.put_json(layout.history_entry(pipeline, entry.id), entry, if_absent=True)
    except Conflict:
        return


def read_history(
    store: Store, pipeline: str, *, since: datetime | None = None
) -> Iterator[HistoryEntry]:
    """Yield the entries, the oldest first: all of them, or those written from ``since`` on."""
    prefix = layout.history(pipeline)
    after = None if since is None else f"{prefix}{ULID.from_datetime(since)}"
    for info in store.scan(prefix, after=after):
        yield read_record(HistoryEntry, store.get(info.key))


def newest_history(store: Store, pipeline: str) -> Iterator[HistoryEntry]:
    """Yield the entries, the newest first; each is read only when it is asked for."""
    for key in reversed([info.key for info in store.scan(layout.history(pipeline))]):
        yield read_record(HistoryEntry, store.get(key))


def newest_entry(store: Store, pipeline: str) -> HistoryEntry | None:
    """Read what was written last; None: nothing was yet."""
    keys = [info.key for info in store.scan(layout.history(pipeline))]
    return HistoryEntry.model_validate_json(store.get(keys[-1]).data) if keys else None


def standing_at(entries: Iterable[HistoryEntry], moment: datetime) -> HistoryEntry | None:
    """Find the change whose outcome held at a moment; None: nothing had been changed yet."""
    changes = [entry for entry in entries if entry.after is not None and entry.at <= moment]
    return max(changes, key=lambda entry: entry.id, default=None)


def is_retrain(entry: HistoryEntry) -> bool:
    """Whether it says that a new model was made, be it that the gate refused it."""
    made = entry.event in ("version.registered", "version.refused") and not _is_untried(entry)
    return made and entry.details.get("depth") == "retrain"


def rollbacks_in_a_row(entries: Iterable[HistoryEntry]) -> int:
    """Count the versions that were rolled back since the last one that proved itself.

    A version has proved itself when its bake is over, or with its promotion where none is declared.

    Args:
        entries: the oldest first.
    """
    count = 0
    for entry in entries:
        if entry.event == "rollout.rolled_back":
            count += 1
        elif entry.event == "rollout.finished" or _ends_with_promotion(entry):
            count = 0
    return count


def measured_costs(entries: Iterable[HistoryEntry]) -> Costs:
    """CPU seconds that the last heal of each depth took, refused ones too.

    Args:
        entries: the oldest first.
    """
    told = [entry.details for entry in entries if "cpu_seconds" in entry.details]
    taken = {details["depth"]: details["cpu_seconds"] for details in told}
    return Costs(**{depth: taken.get(depth) for depth in Costs.model_fields})


def _ends_with_promotion(entry: HistoryEntry) -> bool:
    return entry.event == "rollout.promoted" and not entry.details.get("bake")


def _is_untried(entry: HistoryEntry) -> bool:
    """Whether a candidate was refused only because there were too few rows to judge by."""
    return bool(entry.details.get("untried"))
