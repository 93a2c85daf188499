"""A bucket in memory, in which something happens between any two requests."""

from collections.abc import Callable
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from perennial.errors import Conflict, NotFound
from perennial.store import ObjectInfo, StoredObject


class Killed(BaseException):
    """The process that made this request is dead."""


class MemoryStore:
    """Speaks as `perennial.store.Store`, lists two keys a page, and counts requests."""

    def __init__(self):
        self.objects: dict[str, ObjectInfo] = {}
        self.data: dict[str, bytes] = {}
        self.now = datetime(2030, 1, 1, tzinfo=UTC)
        self.versions = 0
        self._before: Callable[[], None] | None = None

    @contextmanager
    def meanwhile(self, events):
        """Run ``events[n]()`` before request n of those made inside; theirs do not count."""
        outer, count = self._before, 0

        def before():
            nonlocal count
            count += 1
            for event in events.get(count, ()):
                self._before = None
                try:
                    event()
                finally:
                    self._before = before

        self._before = before
        try:
            yield
        finally:
            self._before = outer

    def _request(self):
        if self._before is not None:
            self._before()

    def put(self, key, data, *, if_absent=False):
        self._request()
        if if_absent and key in self.objects:
            raise Conflict(key)
        self.versions += 1
        self.now += timedelta(seconds=1)
        self.data[key] = data
        self.objects[key] = ObjectInfo(key, len(data), str(self.versions), self.now)
        return str(self.versions)

    def get(self, key):
        self._request()
        if key not in self.objects:
            raise NotFound(key)
        return StoredObject(key, self.data[key], self.objects[key].etag)

    def get_range(self, key, start, length, *, if_match=None):
        found = self.get(key)
        if if_match not in (None, found.etag):
            raise Conflict(key)
        return found.data[start : start + length]

    def scan(self, prefix, *, after=None):
        after = after or ""
        while True:
            self._request()
            keys = sorted(k for k in self.objects if k.startswith(prefix) and k > after)
            yield from [self.objects[key] for key in keys[:2]]
            if len(keys) <= 2:
                return
            after = keys[1]

    def delete(self, key):
        self._request()
        self.objects.pop(key, None)
        self.data.pop(key, None)
