import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from unittest.mock import patch

import pytest

from perennial.errors import Conflict, NotFound, StoreError
from perennial.store import layout, open_store, probe, race_daily
from perennial.store.memory import MemoryStore
from perennial.store.probe import race


def test_what_is_put_is_got(store):
    etag = store.put("a/b", b"hello")
    assert store.get("a/b").data == b"hello"
    assert store.get("a/b").etag == etag


def test_an_absent_object_is_not_found(store):
    with pytest.raises(NotFound):
        store.get("nothing")
    assert store.find("nothing") is None


def test_if_absent_lets_only_the_first_one_in(store):
    store.put("a", b"1", if_absent=True)
    with pytest.raises(Conflict):
        store.put("a", b"2", if_absent=True)
    assert store.get("a").data == b"1"


def test_if_match_lets_only_one_of_two_writers_in(store):
    etag = store.put("a", b"1")
    store.put("a", b"2", if_match=etag)
    with pytest.raises(Conflict):
        store.put("a", b"3", if_match=etag)
    assert store.get("a").data == b"2"


def test_a_write_that_was_repeated_because_its_answer_was_lost_counts_once(store):
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
    assert [i.key for i in store.scan("x/")] == ["x/1", "x/2", "x/3"]
    assert [i.key for i in store.scan("x/", after="x/1")] == ["x/2", "x/3"]
    assert store.folders() == ["x", "y"]


def test_a_good_store_passes_the_probe_and_is_left_clean(store):
    probe(store)
    assert list(store.scan("")) == []


def test_a_missing_bucket_is_made_by_the_probe(settings):
    fresh = open_store(replace(settings, bucket=settings.bucket + "-new"))
    probe(fresh)
    fresh.put("a", b"1")


@pytest.mark.parametrize("header", ["IfNoneMatch", "IfMatch"])
def test_a_store_that_ignores_a_condition_is_refused(store, header):
    # No server at hand ignores one condition and honours the other, so the header is taken away.
    send = store._client.put_object

    def ignoring(**kwargs):
        kwargs.pop(header, None)
        return send(**kwargs)

    named = {"IfNoneMatch": "If-None-Match", "IfMatch": "If-Match"}[header]
    with (
        patch.object(store._client, "put_object", ignoring),
        pytest.raises(StoreError, match=f"ignores {named}: two writers could both win"),
    ):
        probe(store)


def test_refused_credentials_are_named(settings):
    wrong = open_store(replace(settings, secret_key="wrong"), retries=1)
    with pytest.raises(StoreError, match="refuses these credentials"):
        probe(wrong)


def test_a_store_that_is_not_there_is_named(settings):
    nowhere = open_store(replace(settings, s3_endpoint="http://127.0.0.1:9"), retries=1)
    with pytest.raises(StoreError, match=r"http://127\.0\.0\.1:9 cannot be reached"):
        nowhere.get("a")


def test_of_several_writers_at_once_one_wins(store):
    race(store, writers=3)
    assert list(store.scan("")) == []


class Locked(MemoryStore):
    """A bucket in memory for many threads."""

    def __init__(self, forgets=None):
        super().__init__()
        self._lock = threading.Lock()
        self._forgets = forgets
        """A condition that it checks, and then writes."""

    def put(self, key, data, *, if_absent=False, if_match=None, **kind):
        asked = "If-Match" if if_match is not None else "If-None-Match" if if_absent else None
        if asked is not None and asked == self._forgets:
            stands = self.find(key)
            if (stands is not None) if if_absent else (stands.etag != if_match):
                raise Conflict(key)
            time.sleep(0.02)
            return super().put(key, data)
        with self._lock:
            return super().put(key, data, if_absent=if_absent, if_match=if_match)


def test_the_store_is_tried_by_many_writers_once_a_day():
    store, now = Locked(), datetime.now(UTC)
    assert race_daily(store, now)
    assert not race_daily(store, now + timedelta(hours=23))
    assert race_daily(store, now + timedelta(hours=25))
    assert [info.key for info in store.scan("")] == [layout.probe("raced")]


@pytest.mark.parametrize("header", ["If-None-Match", "If-Match"])
def test_a_store_that_checks_and_then_writes_is_refused(header):
    with pytest.raises(StoreError, match=rf"writers at once win by {header}"):
        race(Locked(header))
