"""What the store says of one pipeline, read without the models that wrote it.

Those would bring pandas into a small service: of each fact only what is counted or shown is here.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TypeVar

import msgspec

from perennial.errors import Damaged
from perennial.store import Store, StoredObject, layout


class Decision(msgspec.Struct):
    """What was decided of a window."""

    action: str
    depth: str | None = None


class Loss(msgspec.Struct):
    """A window's loss over its promise."""

    ratio: float


class Feature(msgspec.Struct):
    """What a detector said of one aspect of a feature."""

    aspect: str
    effect: float
    shifted: bool


class Inputs(msgspec.Struct):
    """What the detectors said."""

    features: tuple[Feature, ...]


class Check(msgspec.Struct):
    """A look at a window."""

    window: str
    at: datetime
    decision: Decision
    losses: tuple[Loss, ...] = ()
    input: Inputs | None = None


class _Record(msgspec.Struct):
    name: str
    kind: str
    rows: int


class _Release(msgspec.Struct):
    rows: tuple[str, ...] | None = None


S = TypeVar("S", bound=msgspec.Struct)


def _read(kind: type[S], found: StoredObject) -> S:
    try:
        return msgspec.json.decode(found.data, type=kind)
    except msgspec.DecodeError as error:
        raise Damaged(found.key, str(error)) from None


def read_check(store: Store, key: str) -> Check:
    """Read a check.

    Raises:
        Damaged: it cannot be read.
    """
    return _read(Check, store.get(key))


def newest_checks(store: Store, pipeline: str) -> Iterator[Check]:
    """Yield the checks, the newest first; each is read only when it is asked for.

    Raises:
        Damaged: one cannot be read.
    """
    for key in reversed([info.key for info in store.scan(layout.checks(pipeline))]):
        yield read_check(store, key)


def count_refused(store: Store, pipeline: str) -> tuple[int, int]:
    """Rows in quarantine and windows that are held, less what was released of them.

    Raises:
        Damaged: a record cannot be read.
    """
    prefix = layout.quarantine(pipeline)
    records: list[_Record] = []
    released: dict[str, list[_Release]] = {}
    for info in store.scan(prefix):
        entry, _, rest = info.key.removeprefix(prefix).partition("/")
        if rest == "record.json":
            records.append(_read(_Record, store.get(info.key)))
        elif rest.startswith("released/"):
            released.setdefault(entry, []).append(_read(_Release, store.get(info.key)))
    left = {"rows": 0, "window": 0}
    for record in records:
        releases = released.get(record.name, [])
        if not any(release.rows is None for release in releases):
            gone = {row for release in releases for row in release.rows or ()}
            left[record.kind] += record.rows - len(gone) if record.kind == "rows" else 1
    return left["rows"], left["window"]
