"""What keeps failing is loud: from the facts of one pipeline to the lines that a person must see.

One failure is told of where it happens. From the second in a row on, wherever the pipeline is
spoken of.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from pydantic import AwareDatetime, BaseModel, ConfigDict

from perennial.registry.history import HistoryEntry
from perennial.registry.look import Look
from perennial.spec.cron import count_due

LOUD = 2
"""Failures in a row from which on they are an alarm."""
MISSED = 3
"""Runs of the monitor that were due and did not come, from which on they are an alarm."""
GRACE = timedelta(minutes=10)
"""Before that no run is missed: an edited schedule reaches Prefect within five minutes."""
_LONGEST = 200


class Streak(BaseModel):
    """Failures in a row of one kind of run."""

    model_config = ConfigDict(frozen=True)

    failures: int = 0
    began: AwareDatetime | None = None
    """When the first of them failed."""
    reason: str | None = None
    """Of the last of them."""
    success: AwareDatetime | None = None
    """When such a run last succeeded; None: it never has."""

    @property
    def loud(self) -> bool:
        """Whether a person must hear of it."""
        return self.failures >= LOUD

    def told(self, what: str) -> str:
        """Say in a line since when there was no successful ``what``, and why."""
        since = "yet" if self.success is None else f"since {self.success:%Y-%m-%d %H:%M} UTC"
        return f"no successful {what} {since} ({self.failures} failures in a row): {self._why}"

    @property
    def incident(self) -> str:
        """A name that is new with the second, fourth, eighth, ... failure in a row: then people
        are told again."""
        began = "" if self.began is None else f"{self.began:%Y%m%dT%H%M%S}"
        return f"failing-{began}-{self.failures.bit_length()}"

    @property
    def _why(self) -> str:
        why = " ".join((self.reason or "no reason was given").split())
        return why if len(why) <= _LONGEST else f"{why[:_LONGEST]}…"


def retrain_streak(newest_first: Iterable[HistoryEntry]) -> Streak:
    """Count the heals of any depth that failed before their gate, since one came that far.

    A candidate that was refused is no failure, and no success either: its retrain worked.

    Args:
        newest_first: the history; it is read no further back than to the last registered version.
    """
    failed: list[HistoryEntry] = []
    over = False
    for entry in newest_first:
        if entry.event == "version.registered":
            return _streak(failed, entry.at)
        over = over or entry.event == "version.refused"
        if entry.event.startswith("retrain.") and not over:
            failed.append(entry)
    return _streak(failed, None)


def _streak(failed: list[HistoryEntry], success: datetime | None) -> Streak:
    if not failed:
        return Streak(success=success)
    return Streak(
        failures=len(failed), began=failed[-1].at, reason=failed[0].reason, success=success
    )


def look_streak(look: Look | None) -> Streak:
    """The monitor's runs that failed in a row."""
    if look is None:
        return Streak()
    return Streak(
        failures=look.failures,
        began=look.failing_since,
        reason=look.reason,
        success=look.good_at,
    )


def missed_looks(
    schedule: str | None, look: Look | None, champion: datetime | None, now: datetime
) -> int:
    """Count the runs of the monitor that were due and did not come, up to `MISSED`.

    Args:
        champion: when the last version was made: before there is one, nothing is to be judged.
    """
    since = look.at if look is not None else champion
    if schedule is None or since is None or champion is None or now - since < GRACE:
        return 0
    return count_due(schedule, since, now, MISSED)


def alarms(
    retrains: Streak, look: Look | None, schedule: str | None, now: datetime
) -> tuple[str, ...]:
    """Every line that a person must see of a pipeline; none where all is well."""
    found = []
    if retrains.loud:
        found.append(retrains.told("retrain"))
    looks = look_streak(look)
    if looks.loud:
        found.append(looks.told("monitor run"))
    if missed_looks(schedule, look, retrains.success, now) >= MISSED:
        since = "" if look is None else f" since {look.at:%Y-%m-%d %H:%M} UTC"
        found.append(
            f"the monitor has not run{since}, and {MISSED} runs or more were due by {schedule!r}"
        )
    return tuple(found)
