"""All pipelines at a glance: who answers, how well, when it was looked at, what fails.

One that cannot be read is there too, with the reason; it keeps no other from being shown.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from itertools import islice
from pathlib import Path

from pydantic import AwareDatetime, BaseModel, ConfigDict

from perennial.errors import Damaged, ModelError, NotFound, SpecError
from perennial.registry import (
    Declaration,
    State,
    Streak,
    alarms,
    check_name,
    find_declaration,
    in_sight,
    known_pipelines,
    newest_history,
    read_look,
    read_manifest,
    read_state,
    retrain_streak,
)
from perennial.report.facts import Check, count_refused, newest_checks
from perennial.spec import PipelineSpec
from perennial.spec.cron import next_due
from perennial.store import Store

_SAME = 100
"""Of so many characters in common two lines are taken to say the same."""
_REMEMBERED = 60
"""So far back a window with labels is looked for."""


class Overview(BaseModel):
    """One pipeline. What is not known, or is not there yet, is None."""

    model_config = ConfigDict(frozen=True)

    pipeline: str
    declared: str | None = None
    """The folder whose pipeline.yaml is in force; None: the store has the only copy."""
    shadowed: tuple[str, ...] = ()
    """Folders in sight of the same name, which do not count."""
    fault: str | None = None
    """Why the declaration, or something in the store, cannot be read."""
    known: bool | None = False
    """Whether a run has put it in force: only then has it a schedule. None: the store is away."""
    demo: bool = False
    champion: str | None = None
    made: AwareDatetime | None = None
    """When the champion was made."""
    loss: float | None = None
    """Over the champion's promise, in the newest window with labels."""
    window: str | None = None
    """The newest that was checked, and when, and what was decided."""
    checked: AwareDatetime | None = None
    decision: str | None = None
    looked: AwareDatetime | None = None
    """When the monitor last ran, though no window may have been full."""
    next_look: AwareDatetime | None = None
    stage: str = "idle"
    challenger: str | None = None
    weight: float = 0.0
    held_windows: int = 0
    quarantined_rows: int = 0
    failure: str | None = None
    """Why the last retrain failed; None where it did not."""
    alarms: tuple[str, ...] = ()
    """What keeps failing."""

    @property
    def told(self) -> tuple[str, ...]:
        """Every line that a person must see; a fault that an alarm names already is one line."""
        if self.fault is None or any(self.fault[:_SAME] in alarm for alarm in self.alarms):
            return self.alarms
        return (*self.alarms, f"cannot be read: {self.fault}")


def read_overviews(
    store: Store | None, folders: Iterable[Path], now: datetime, *, demos: bool = False
) -> list[Overview]:
    """Describe every pipeline that is declared in a folder in sight or in the store, by name.

    Args:
        store: None: what is declared in the folders is all that is known.
        folders: in which pipelines are looked for by name.
        demos: those of ``perennial demo`` too.

    Raises:
        StoreError: the store cannot be reached.
    """
    seen = in_sight(folders)
    known = [] if store is None else known_pipelines(store, demos=demos)
    return [_overview(store, name, seen.get(name, []), now) for name in sorted({*seen, *known})]


def _overview(store: Store | None, name: str, folders: list[Path], now: datetime) -> Overview:
    declared, faults = None if not folders else str(folders[0]), []
    spec: PipelineSpec | None = None
    found: Declaration | None = None
    try:
        found = None if store is None else find_declaration(store, name)
        spec = None if found is None else found.spec
    except Damaged as error:
        faults.append(str(error))
    try:
        if folders:
            spec = check_name(folders[0])
    except SpecError as error:
        spec = None
        faults.append(str(error))
    if declared is None and found is not None:
        declared = found.folder
    facts: dict[str, object] = {}
    if store is not None and found is not None:
        try:
            facts = _facts(store, name, spec, now)
        except (Damaged, ModelError, NotFound) as error:
            faults.append(str(error))
    return Overview.model_validate(
        {
            "pipeline": name,
            "declared": declared,
            "shadowed": [str(folder) for folder in folders[1:]],
            "fault": "; ".join(faults) or None,
            "known": None if store is None else found is not None,
            "demo": found is not None and found.demo,
            **facts,
        }
    )


def _facts(store: Store, name: str, spec: PipelineSpec | None, now: datetime) -> dict[str, object]:
    """What the store says of a pipeline, by the fields of `Overview`."""
    state = read_state(store, name).state
    look, retrains = read_look(store, name), retrain_streak(newest_history(store, name))
    rows, held = count_refused(store, name)
    schedule = None if spec is None else spec.monitor.schedule
    return {
        **_rollout(store, state),
        **_checked(list(islice(newest_checks(store, name), _REMEMBERED))),
        "looked": None if look is None else look.at,
        "next_look": None if schedule is None else next_due(schedule, now),
        "held_windows": held,
        "quarantined_rows": rows,
        "failure": _failure(retrains),
        "alarms": alarms(retrains, look, schedule, now),
    }


def _rollout(store: Store, state: State) -> dict[str, object]:
    made = None
    if state.champion is not None:
        made = read_manifest(store, state.pipeline, state.champion).created_at
    return {
        "champion": state.champion,
        "made": made,
        "stage": state.stage,
        "challenger": state.challenger,
        "weight": state.weight,
    }


def _checked(newest: list[Check]) -> dict[str, object]:
    if not newest:
        return {}
    last = newest[0]
    return {
        "window": last.window,
        "checked": last.at,
        "decision": last.decision.depth or last.decision.action,
        "loss": next((check.losses[-1].ratio for check in newest if check.losses), None),
    }


def _failure(retrains: Streak) -> str | None:
    return retrains.reason if retrains.failures else None
