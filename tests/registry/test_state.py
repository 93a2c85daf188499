from concurrent.futures import ThreadPoolExecutor

import pytest

from perennial.errors import LeaseLost
from perennial.registry import (
    change_state,
    is_retrain,
    measured_costs,
    new_entry,
    read_history,
    read_state,
    rollbacks_in_a_row,
    standing_at,
)
from perennial.registry.state import State, is_outcome
from perennial.spec import Costs
from perennial.store import layout
from perennial.store.lease import CLOCK_OFFSET, utc_now
from perennial.store.memory import MemoryStore


def entry(text="because"):
    return new_entry("version.registered", reason=text, by="test")


def challenge(version):
    return lambda state: state.model_copy(update={"challenger": version, "stage": "registered"})


def test_a_pipeline_without_a_state_stands_at_the_beginning(store):
    stored = read_state(store, "bike")
    assert stored.state.champion is None
    assert stored.etag is None


def test_a_change_is_written_with_its_history(store):
    state = change_state(store, "bike", challenge("0001"), entry("drift"), fence=1)
    assert state.revision == 1
    assert read_state(store, "bike").state == state
    assert [e.reason for e in read_history(store, "bike")] == ["drift"]


def test_a_change_that_changes_nothing_is_not_written(store):
    change_state(store, "bike", lambda state: state, entry())
    assert read_state(store, "bike").etag is None
    assert list(read_history(store, "bike")) == []


def test_an_older_fence_cannot_change_the_state(store):
    change_state(store, "bike", challenge("0002"), entry(), fence=5)
    with pytest.raises(LeaseLost, match="lease 4 is too old"):
        change_state(store, "bike", challenge("0001"), entry(), fence=4)


def test_a_change_by_hand_needs_no_lease_and_does_not_lower_the_fence(store):
    change_state(store, "bike", challenge("0002"), entry(), fence=5)
    assert change_state(store, "bike", challenge("0003"), entry()).fence == 5


def test_of_many_writers_at_once_none_is_lost(store):
    def count(state: State) -> State:
        return state.model_copy(update={"answered": f"{int(state.answered or 0) + 1:04d}"})

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: change_state(store, "bike", count, entry()), range(12)))
    state = read_state(store, "bike").state
    assert (state.answered, state.revision) == ("0012", 12)
    assert len(list(read_history(store, "bike"))) == 12


def test_history_that_a_killed_writer_left_out_is_written_by_the_next(store):
    first = entry("first")
    change_state(store, "bike", challenge("0001"), first)
    store.delete(layout.history_entry("bike", first.id))
    change_state(store, "bike", challenge("0002"), entry("second"))
    assert [e.reason for e in read_history(store, "bike")] == ["first", "second"]


def test_history_says_who_answered_at_a_moment(store):
    before = utc_now()
    change_state(store, "bike", lambda s: s.model_copy(update={"champion": "0001"}), entry("one"))
    between = utc_now()
    change_state(store, "bike", lambda s: s.model_copy(update={"champion": "0002"}), entry("two"))
    entries = list(read_history(store, "bike"))
    assert standing_at(entries, before) is None
    assert standing_at(entries, between).after.champion == "0001"
    assert standing_at(entries, utc_now()).after.champion == "0002"


def told(event, version=None, *, cause=None, **details):
    return new_entry(event, version=version, reason="so", by="test", cause=cause, details=details)


def refused(version, depth="retrain", **details):
    return told("version.refused", version, cause="p/checks/w1.json", depth=depth, **details)


def registered(version, depth="retrain"):
    return told("version.registered", version, depth=depth)


def test_rollbacks_count_until_a_version_has_proved_itself():
    undone = [registered("2"), told("rollout.promoted", "2", bake=True)]
    undone += [told("rollout.rolled_back", "2")]
    assert rollbacks_in_a_row([]) == 0
    assert rollbacks_in_a_row(undone) == 1
    assert rollbacks_in_a_row([refused("1"), *undone, refused("3")]) == 1, "refusals do not count"
    again = [registered("3", "correct"), told("rollout.rolled_back", "3")]
    assert rollbacks_in_a_row([*undone, *again]) == 2, "of whatever depth"
    bakes = [registered("4"), told("rollout.promoted", "4", bake=True)]
    assert rollbacks_in_a_row([*undone, *bakes]) == 1
    assert rollbacks_in_a_row([*undone, *bakes, told("rollout.finished", "4")]) == 0
    at_once = [registered("4", "correct"), told("rollout.promoted", "4", bake=False)]
    assert rollbacks_in_a_row([*undone, *at_once]) == 0


def test_a_candidate_that_nothing_could_judge_is_no_retrain():
    by_hand = told("version.refused", "3", depth="retrain")
    unjudged = [refused("2", untried=True), refused(None, untried=True)]
    assert [is_retrain(entry) for entry in (by_hand, *unjudged)] == [True, False, False]
    assert not is_retrain(registered("2", "correct"))


def test_the_order_of_the_history_is_that_of_the_changes_though_the_clock_goes_back(
    store, monkeypatch
):
    for number, offset in enumerate((0, 7200, -7200, -7200, 0), start=1):
        monkeypatch.setenv(CLOCK_OFFSET, str(offset))
        made = entry(f"change {number}")
        assert is_outcome(change_state(store, "bike", challenge(f"{number}"), made), made)
    written = list(read_history(store, "bike"))
    assert [e.revision for e in written] == [1, 2, 3, 4, 5]
    assert standing_at(written, utc_now()).after.challenger == "5"


def test_another_ones_change_is_not_taken_for_ones_own(store):
    mine = entry("mine")
    after = change_state(store, "bike", challenge("1"), entry("theirs"))
    assert not is_outcome(after, mine)


def test_what_a_heal_takes_is_what_the_last_of_its_depth_took_refused_or_not():
    assert measured_costs([told("version.registered", depth="retrain")]) == Costs()
    entries = [
        told("version.registered", depth="retrain", cpu_seconds=9.0),
        told("version.registered", depth="correct", cpu_seconds=1.0),
        told("version.refused", depth="retrain", cpu_seconds=7.0),
        told("rollout.promoted"),
    ]
    assert measured_costs(entries) == Costs(retrain=7.0, correct=1.0)


class Lossy(MemoryStore):
    """Takes the next swap of a state, loses its answer, and lets another writer in before it is
    asked again, as a client does whose connection broke."""

    def __init__(self):
        super().__init__()
        self.meanwhile = None

    def put(self, key, data, **condition):
        meanwhile, self.meanwhile = self.meanwhile, None
        etag = super().put(key, data, **condition)
        if meanwhile is not None and key.endswith("state.json"):
            meanwhile()
            return super().put(key, data, **condition)
        self.meanwhile = meanwhile
        return etag


@pytest.mark.parametrize("others", [0, 1, 3])
def test_a_change_whose_answer_was_lost_is_made_once(others):
    store = Lossy()
    change_state(store, "bike", lambda state: state.model_copy(update={"weight": 0.5}), entry("0"))
    asked = []

    def add(state):
        asked.append(state.revision)
        return state.model_copy(update={"condemned": (*state.condemned, "mine")})

    def meanwhile():
        for number in range(others):
            change_state(
                store,
                "bike",
                lambda state, number=number: state.model_copy(
                    update={"condemned": (*state.condemned, str(number))}
                ),
                entry(f"other {number}"),
            )

    store.meanwhile = meanwhile
    made = change_state(store, "bike", add, entry("mine"))
    assert (made.revision, made.condemned, asked) == (2, ("mine",), [1])
    now = read_state(store, "bike").state
    assert now.condemned == ("mine", *map(str, range(others)))
    told = [e.reason for e in read_history(store, "bike")]
    assert told == ["0", "mine", *(f"other {number}" for number in range(others))]
    assert [e.revision for e in read_history(store, "bike")] == list(range(1, 3 + others))


def test_a_change_that_lost_its_swap_is_made_on_what_won():
    store = Lossy()
    change_state(store, "bike", challenge("0001"), entry("0"))
    states = []

    def change(state):
        states.append(state.challenger)
        if len(states) == 1:
            change_state(store, "bike", challenge("0002"), entry("other"))
        return state.model_copy(update={"weight": 0.5})

    made = change_state(store, "bike", change, entry("mine"))
    assert (states, made.challenger, made.revision) == (["0001", "0002"], "0002", 3)
