"""What the monitor has written is found again."""

from __future__ import annotations

import pytest

from perennial.errors import Damaged, NotFound
from perennial.loop.record import (
    all_checks,
    count_checks,
    keep_fact,
    newest_checks,
    read_fact,
    unanswered,
    windows_by,
)
from perennial.store import layout
from perennial.store.layout import window_name
from perennial.store.memory import MemoryStore
from tests.loop.checks import asks, check, keep, moment


@pytest.fixture
def store():
    return MemoryStore()


def names(checks):
    return [one.window for one in checks]


def test_a_fact_is_kept_once_whatever_the_order_of_its_keys(store):
    name = keep_fact(store, "p", {"a": 1, "b": [2]})
    (before,) = store.scan("")
    assert keep_fact(store, "p", {"b": [2], "a": 1}) == name
    assert [*store.scan("")] == [before]
    assert read_fact(store, "p", name) == {"a": 1, "b": [2]}
    assert keep_fact(store, "p", {"a": 2}) != name


def test_an_altered_fact_is_none(store):
    name = keep_fact(store, "p", {"a": 1})
    store.put(layout.fact("p", name), b'{"a": 2}')
    with pytest.raises(Damaged, match="not what its name says"):
        read_fact(store, "p", name)
    with pytest.raises(NotFound):
        read_fact(store, "p", "0" * 64)


def test_the_newest_checks_come_last_first_and_are_no_more_than_sixty(store):
    keep(store, *map(check, range(1, 71)))
    assert count_checks(store, "p") == len([*all_checks(store, "p")]) == 70
    assert names(newest_checks(store, "p")) == [window_name(n) for n in range(70, 10, -1)]
    assert names(newest_checks(store, "p", after="w000068")) == ["w000070", "w000069"]
    assert names(newest_checks(store, "p", after="w000070")) == []


def test_a_check_comes_back_as_it_was(store):
    keep(store, asks(1))
    assert [*all_checks(store, "p")] == [asks(1)]


def test_windows_are_counted_up_to_a_moment(store):
    keep(store, *map(check, range(1, 71)))
    assert [windows_by(store, "p", moment(n)) for n in (0, 1, 5, 70, 99)] == [0, 1, 5, 70, 70]


def test_a_heal_is_unanswered_until_a_later_window_is(store):
    keep(store, check(1), asks(2), asks(3), check(4))
    assert unanswered(store, "p", None) == asks(3)
    assert unanswered(store, "p", "w000002") == asks(3)
    assert unanswered(store, "p", "w000003") is None
    keep(store, asks(5))
    assert unanswered(store, "p", "w000003") == asks(5)


def test_a_damaged_check_is_named(store):
    store.put(layout.check("p", "w000001"), b"{}")
    with pytest.raises(Damaged, match="w000001"):
        [*newest_checks(store, "p")]
