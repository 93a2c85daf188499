"""The fold of a pipeline's history into what the policy needs to know."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import AwareDatetime, BaseModel, ConfigDict

from perennial.registry import (
    HistoryEntry,
    Stage,
    is_retrain,
    measured_costs,
    read_state,
    rollbacks_in_a_row,
)
from perennial.spec import Costs
from perennial.store import Store, layout, read_record


class Past(BaseModel):
    """What a history comes to."""

    model_config = ConfigDict(frozen=True)

    entry: str | None = None
    """The newest entry; None: there is none."""
    champion: str | None = None
    challenger: str | None = None
    stage: Stage = "idle"
    answered: str | None = None
    """The last window whose heal a retrain has answered, whatever came of it."""
    retrained: AwareDatetime | None = None
    """When the last model behind the first one was made, be it that it was refused; None: none
    was."""
    undone: int = 0
    """Versions in a row that live traffic has rolled back."""
    costs: Costs = Costs()
    """CPU seconds that the last heal of each depth took."""


def fold(entries: Sequence[HistoryEntry]) -> Past:
    """Fold a whole history, the oldest entry first."""
    changes = [entry for entry in entries if entry.after is not None]
    last = max(changes, key=lambda entry: entry.id, default=None)
    stands = None if last is None else last.after
    retrains = [entry for entry in entries if is_retrain(entry)]
    return Past(
        entry=max((entry.id for entry in entries), default=None),
        champion=None if stands is None else stands.champion,
        challenger=None if stands is None else stands.challenger,
        stage="idle" if stands is None else stands.stage,
        answered=None if stands is None else stands.answered,
        retrained=retrains[-1].at if len(retrains) > 1 else None,
        undone=rollbacks_in_a_row(entries),
        costs=measured_costs(entries),
    )


class HistoryFold:
    """Folds a pipeline's history as it grows: an entry never changes, so each is read once."""

    def __init__(self, store: Store, pipeline: str) -> None:
        self._store, self._pipeline = store, pipeline
        self._entries: dict[str, HistoryEntry] = {}

    def read(self) -> Past:
        """Fold what the store holds now; the last change may stand in the state alone yet."""
        for info in self._store.scan(layout.history(self._pipeline)):
            if info.key not in self._entries:
                self._entries[info.key] = read_record(HistoryEntry, self._store.get(info.key))
        entries = {entry.id: entry for entry in self._entries.values()}
        last = read_state(self._store, self._pipeline).state.last_change
        if last is not None:
            entries.setdefault(last.id, last)
        return fold([entries[name] for name in sorted(entries)])
