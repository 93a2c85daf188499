"""What a history comes to."""

from __future__ import annotations

from datetime import timedelta

from perennial.loop.fold import HistoryFold, Past, fold
from perennial.registry import HistoryEntry, change_state, new_entry, read_state
from perennial.registry.history import Event, Standing
from perennial.store import layout
from perennial.store.memory import MemoryStore
from tests.loop.making import NOW


class History:
    """Entries, a minute from one to the next."""

    def __init__(self) -> None:
        self.entries: list[HistoryEntry] = []

    def add(self, event: Event, version: str, *, after: Standing | None = None, **details):
        cause = details.pop("cause", None)
        at = NOW + timedelta(minutes=len(self.entries))
        entry = new_entry(
            event, reason="so", by="test", version=version, cause=cause, details=details, at=at
        )
        self.entries.append(entry.model_copy(update={"after": after}))
        return self

    def made(self, version: str, depth: str = "retrain", **details):
        return self.add("version.registered", version, depth=depth, **details)

    def refused(self, version: str, depth: str = "retrain", **details):
        cause = layout.check("p", "w000001")
        return self.add("version.refused", version, depth=depth, **{"cause": cause, **details})

    @property
    def past(self) -> Past:
        return fold(self.entries)


def test_nothing_has_happened():
    assert fold([]) == Past()


def test_the_newest_change_says_who_answers_and_what_was_answered():
    first = Standing(champion="1", challenger=None, stage="idle", weight=0, answered="w000001")
    second = Standing(champion="1", challenger="2", stage="canary", weight=0.5, answered="w000004")
    history = History().made("1", after=first).made("2", after=second)
    history.add("retrain.held", "", depth="retrain")
    past = history.past
    assert (past.champion, past.challenger, past.stage) == ("1", "2", "canary")
    assert past.answered == "w000004"
    assert past.entry == history.entries[-1].id, "also one that changed nothing"


def test_what_live_traffic_has_undone_counts_whatever_its_depth():
    history = History().made("1").add("rollout.promoted", "1", bake=False)
    history.made("2", depth="correct").add("rollout.rolled_back", "2")
    history.refused("3", depth="correct")
    history.made("4").add("rollout.rolled_back", "4")
    assert history.past.undone == 2, "a refusal is no rollback"
    history.made("5", depth="correct").add("rollout.promoted", "5", bake=True)
    assert history.past.undone == 2, "it bakes yet"
    history.add("rollout.finished", "5")
    assert history.past.undone == 0


def test_the_first_model_is_no_retrain():
    history = History().made("1")
    assert history.past.retrained is None
    history.made("2", depth="correct")
    assert history.past.retrained is None
    history.refused("3")
    assert history.past.retrained == history.entries[-1].at
    history.refused("4", untried=True)
    assert history.past.retrained == history.entries[-2].at


def test_the_last_heal_of_each_depth_says_what_it_costs():
    history = History().made("1", cpu_seconds=9.0).made("2", depth="correct", cpu_seconds=0.5)
    history.refused("3", cpu_seconds=12.0).refused("4", untried=True)
    costs = history.past.costs
    assert (costs.retrain, costs.correct) == (12.0, 0.5)


def test_the_last_change_counts_though_its_writer_died_before_it_wrote_the_history():
    store = MemoryStore()
    for version in ("1", "2"):
        change_state(
            store,
            "p",
            lambda state, version=version: state.model_copy(update={"champion": version}),
            new_entry("rollout.promoted", reason="so", by="test", version=version),
        )
    last = read_state(store, "p").state.last_change
    store.delete(layout.history_entry("p", last.id))
    past = HistoryFold(store, "p").read()
    assert (past.champion, past.entry) == ("2", last.id)
