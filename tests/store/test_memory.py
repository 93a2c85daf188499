"""A bucket in memory keeps what the object store keeps, and a view of one changes nothing below."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from perennial.errors import Conflict, NotFound, StoreError
from perennial.store import ObjectInfo, Store
from perennial.store.memory import MemoryStore
from perennial.store.view import View


@pytest.fixture(params=["memory", "view"])
def store(request: pytest.FixtureRequest) -> Store:
    below = MemoryStore()
    return below if request.param == "memory" else View(below, lambda _: False)


def keys(store: Store, prefix: str = "", **more: str) -> list[str]:
    return [info.key for info in store.scan(prefix, **more)]


def test_what_is_put_is_got_until_it_is_deleted():
    store = MemoryStore()
    etag = store.put("a/b", b"hello")
    assert (store.get("a/b").data, store.get("a/b").etag) == (b"hello", etag)
    assert store.get_range("a/b", 1, 3, if_match=etag) == b"ell"
    store.delete("a/b")
    store.delete("a/b")
    assert store.find("a/b") is None
    with pytest.raises(NotFound):
        store.get("a/b")


def test_if_absent_lets_only_the_first_one_in(store):
    store.put("a", b"1", if_absent=True)
    with pytest.raises(Conflict):
        store.put("a", b"2", if_absent=True)
    assert store.get("a").data == b"1"


def test_if_match_lets_only_one_of_two_writers_in(store):
    with pytest.raises(Conflict):
        store.put("a", b"0", if_match="none")
    etag = store.put("a", b"1")
    store.put("a", b"2", if_match=etag)
    with pytest.raises(Conflict):
        store.put("a", b"3", if_match=etag)
    with pytest.raises(Conflict):
        store.get_range("a", 0, 1, if_match=etag)
    assert store.get("a").data == b"2"


def test_a_write_of_the_same_bytes_counts_as_written(store):
    first = store.put("a", b"mine", if_absent=True)
    assert store.put("a", b"mine", if_absent=True) == first
    second = store.put("a", b"mine too", if_match=first)
    assert store.put("a", b"mine too", if_match=first) == second


def test_an_unchanged_object_is_not_sent_again(store):
    etag = store.put("a", b"1")
    assert store.get_if_changed("a", etag) is None
    store.put("a", b"2")
    assert store.get_if_changed("a", etag).data == b"2"


def test_a_listing_is_in_key_order_and_can_start_behind_a_key(store):
    for name in ("x/2", "x/1", "x/3", "y/1"):
        store.put(name, b"")
    assert keys(store, "x/") == ["x/1", "x/2", "x/3"]
    assert keys(store, "x/", after="x/1") == ["x/2", "x/3"]
    assert keys(store, "x/", after="x/15") == ["x/2", "x/3"]
    assert store.folders() == ["x", "y"]
    assert store.folders("x/") == []


def test_what_is_listed_may_be_removed_meanwhile():
    store = MemoryStore()
    for name in "abc":
        store.put(name, b"")
    seen = []
    for info in store.scan(""):
        seen.append(info.key)
        store.delete("b")
    assert seen == ["a", "c"]


def test_its_clock_tells_when_an_object_came():
    moments = iter([datetime(2000, 1, 1, tzinfo=UTC) + timedelta(days=n) for n in range(2)])
    store = MemoryStore(lambda: next(moments))
    store.put("b", b"12")
    store.put("a", b"1")
    found: list[ObjectInfo] = list(store.scan(""))
    assert [(info.key, info.size, info.modified.day) for info in found] == [
        ("a", 1, 2),
        ("b", 2, 1),
    ]


def test_nobody_can_be_sent_to_it(tmp_path):
    store, told = MemoryStore(), []
    (tmp_path / "f").write_bytes(b"1234")
    store.upload("f", tmp_path / "f", told.append)
    assert (store.get("f").data, told) == (b"1234", [4])
    with pytest.raises(StoreError, match="lies in memory"):
        store.link("f", 60)


def test_a_view_reads_through_and_hides():
    below = MemoryStore()
    for name in ("x/1", "x/2", "y/1"):
        below.put(name, name.encode())
    view = View(below, lambda key: key == "x/2" or key.startswith("y/"))
    assert view.get("x/1").data == b"x/1"
    assert view.get_range("x/1", 2, 1) == b"1"
    for hidden in ("x/2", "y/1", "z"):
        assert view.find(hidden) is None
    assert keys(view) == ["x/1"]
    assert view.folders() == ["x"]
    below.put("x/3", b"since")
    assert keys(view) == ["x/1", "x/3"]


def test_what_is_written_into_a_view_stays_there():
    below = MemoryStore()
    for name in ("x/1", "x/2", "x/4"):
        below.put(name, b"below")
    before = [*below.scan("")]
    view = View(below, lambda key: key == "x/2")
    view.put("x/1", b"over it")
    view.put("x/2", b"in its place", if_absent=True)
    view.put("x/3", b"new", if_absent=True)
    view.put("x/4", b"swapped", if_match=below.get("x/4").etag)
    with pytest.raises(Conflict):
        view.put("x/4", b"late", if_match=below.get("x/4").etag)
    assert {key: view.get(key).data for key in keys(view)} == {
        "x/1": b"over it",
        "x/2": b"in its place",
        "x/3": b"new",
        "x/4": b"swapped",
    }
    assert keys(view, "x/", after="x/2") == ["x/3", "x/4"]
    with pytest.raises(StoreError, match="nothing is removed in a view"):
        view.delete("x/1")
    assert [*below.scan("")] == before
