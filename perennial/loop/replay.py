"""Make the decisions of a record again, each from the facts that were known at its moment, and what
was made of them: the same rows, the same recipe, the same verdict of the gate."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from typing import Any

import pandas as pd
from pydantic import BaseModel, ConfigDict

from perennial.datasets.dates import Dates
from perennial.datasets.log_reader import SegmentReader
from perennial.datasets.source import Fetch
from perennial.datasets.stream import Cursor, Window
from perennial.errors import NotFound, PerennialError
from perennial.loop.inspection import Expectations
from perennial.loop.log_stream import LogStream, see_source
from perennial.loop.made_again import made_again, recorded
from perennial.loop.monitor import PipelineMonitor
from perennial.loop.places import Place
from perennial.loop.record import Facts, WindowCheck, all_checks, read_fact
from perennial.loop.versions import read_champion
from perennial.registry import (
    Declaration,
    Manifest,
    list_refused,
    list_versions,
    read_manifest,
)
from perennial.spec import PipelineSpec
from perennial.store import Store, layout, read_record
from perennial.store.view import View
from perennial.validation.quarantine import Record, Release

_UNTOLD = {"at", "facts"}
"""Of a check: when it was made, and what it goes by; no decision."""
_SAME = 1e-9
"""Figures that differ by a smaller share are the same: another machine's sums end otherwise."""


class Mismatch(BaseModel):
    """A figure, or a word, that does not come out as it was written down."""

    model_config = ConfigDict(frozen=True)

    field: str
    """Such as ``decision.depth`` or ``losses.0.loss``."""
    recorded: Any
    again: Any

    def __str__(self) -> str:
        return f"{self.field}: {_short(self.recorded)} recorded, {_short(self.again)} again"


class ReplayedWindow(BaseModel):
    """One window, decided again."""

    model_config = ConfigDict(frozen=True)

    window: str
    dates: Dates | None = None
    at: datetime
    """When it was decided."""
    recorded: str
    """The decision: keep, hold, or the depth of a heal."""
    reason: str
    differences: tuple[Mismatch, ...] = ()
    lost: str | None = None
    """Why it cannot be decided again: a fact is not there any more."""

    @property
    def same(self) -> bool:
        """Whether all of it came out the same."""
        return self.lost is None and not self.differences


@dataclass(frozen=True, eq=False)
class _RecordedStream(LogStream):
    """The log as it was at a look, cut where the look has cut it."""

    ends: tuple[Cursor, ...] = ()

    def windows(self, place: Cursor) -> Iterator[Window]:
        """Yield the windows that the look has judged."""
        for end in self.ends:
            yield Window(place, end, self.read(place, end))
            place = end


@dataclass(frozen=True, eq=False)
class _Sources:
    """The source as each declaration reads it, read once."""

    declaration: Declaration
    """Says where it lies."""
    fetch: Fetch
    _read: dict[str, tuple[pd.DataFrame, str | None]] = field(default_factory=dict)

    def read(
        self, store: Store, spec: PipelineSpec, champion: Manifest
    ) -> tuple[pd.DataFrame, str | None]:
        """Give what `see_source` gives."""
        declared = self.declaration.model_copy(update={"spec": spec})
        if declared.sha256 not in self._read:
            found = see_source(store, declared, champion, self.fetch)
            if found[1] is not None:  # what stands in is another one for each champion
                return found
            self._read[declared.sha256] = found
        return self._read[declared.sha256]


class _Then(View):
    """The store as it was when a window of a look was decided."""

    def __init__(self, store: Store, pipeline: str, facts: Facts, refused: dict[str, datetime]):
        super().__init__(store, self._is_later)
        self._pipeline = pipeline
        self._later = {prefix for prefix, at in refused.items() if at > facts.at}
        self.window = facts.window
        """Checks from this one on were not there."""
        self.known: str | None = None
        """The newest entry of the history."""

    def _is_later(self, key: str) -> bool:
        name = self._pipeline
        if key.startswith(layout.checks(name)):
            return key >= layout.check(name, self.window)
        if key.startswith(layout.history(name)):
            return self.known is None or key > layout.history_entry(name, self.known)
        return key == layout.state(name) or any(key.startswith(prefix) for prefix in self._later)


def replay(
    store: Store, declaration: Declaration, *, since: datetime | None = None, fetch: Fetch
) -> Iterator[ReplayedWindow]:
    """Decide again what the monitor of a pipeline has decided, and write nothing.

    Args:
        declaration: says where the source lies; all else is as it was declared at each look.
        since: looks that began earlier are passed over.
        fetch: reads ``s3://`` addresses.

    Raises:
        StoreError: the store cannot be read, or a record is damaged.
    """
    name = declaration.spec.name
    made = _made(store, name)
    checks = [c for c in all_checks(store, name) if since is None or c.facts.at >= since]
    refused, sources = _quarantined(store, name), _Sources(declaration, fetch)
    for _, group in groupby(checks, key=lambda check: check.facts.window):
        look = list(group)
        for window in _replay_look(store, look, refused, sources):
            yield _with_candidates(store, window, made.get(window.window, ()))


def _replay_look(
    store: Store,
    checks: Sequence[WindowCheck],
    refused: dict[str, datetime],
    sources: _Sources,
) -> Iterator[ReplayedWindow]:
    facts, name = checks[0].facts, checks[0].pipeline
    then = _Then(store, name, facts, refused)
    try:
        made = _monitor(then, checks, sources).checks()
        for check in checks:
            then.window, then.known = check.window, check.known
            yield _compare(check, next(made))
    except (NotFound, PerennialError) as error:
        left = [check for check in checks if check.window >= then.window]
        yield from (_told(check, lost=str(error)) for check in left)


def _monitor(then: _Then, checks: Sequence[WindowCheck], sources: _Sources) -> PipelineMonitor:
    facts, name = checks[0].facts, checks[0].pipeline
    spec = PipelineSpec.model_validate(read_fact(then, name, facts.declaration))
    suite = None if facts.suite is None else read_fact(then, name, facts.suite)
    champion = read_champion(then, read_manifest(then, name, checks[0].champion))
    source, away = sources.read(then, spec, champion.version)
    if len(source) < facts.source_rows:
        raise PerennialError(
            f"the source had {facts.source_rows:,} rows then, it has {len(source):,} now"
        )
    reader = SegmentReader(then)
    reader.known = {
        layout.prediction_log(name): facts.requests,
        layout.feedback_log(name): facts.labels,
    }
    stream = _RecordedStream(
        reader,
        spec,
        source.iloc[: facts.source_rows],
        away,
        tuple(Place.model_validate(check.cursor).end for check in checks),
    )
    expectations = Expectations(suite, checks[0].suite_fault)
    return PipelineMonitor(then, spec, stream, champion, expectations, clock=lambda: facts.at)


def _quarantined(store: Store, pipeline: str) -> dict[str, datetime]:
    """When each entry of the quarantine, and each release, was written, by what its keys begin
    with."""
    found: dict[str, datetime] = {}
    for info in store.scan(layout.quarantine(pipeline)):
        if info.key.endswith("/record.json"):
            record = read_record(Record, store.get(info.key))
            found[info.key.removesuffix("record.json")] = record.at
        elif "/released/" in info.key:
            found[info.key] = read_record(Release, store.get(info.key)).at
    return found


def _made(store: Store, pipeline: str) -> dict[str, list[Manifest]]:
    """What was made for each window that asked for a heal, refused candidates too."""
    found: dict[str, list[Manifest]] = {}
    for manifest in (*list_versions(store, pipeline), *list_refused(store, pipeline)):
        cause = manifest.lineage.cause
        if cause is not None:
            found.setdefault(layout.checked_window(cause), []).append(manifest)
    return found


def _with_candidates(
    store: Store, window: ReplayedWindow, made: Sequence[Manifest]
) -> ReplayedWindow:
    """Make and judge again what the window has asked for."""
    differences, lost = list(window.differences), window.lost
    view = View(store, lambda _: False)
    for manifest in made:
        try:
            both = recorded(view, manifest), made_again(view, manifest)
        except (NotFound, PerennialError) as error:
            lost = lost or f"{manifest.version}: {error}"
            continue
        differences += _differences(manifest.version, *both)
    return window.model_copy(update={"differences": tuple(differences), "lost": lost})


def _compare(check: WindowCheck, again: WindowCheck) -> ReplayedWindow:
    before, after = (model.model_dump(mode="json", exclude=_UNTOLD) for model in (check, again))
    return _told(check, tuple(_differences("", before, after)))


def _told(
    check: WindowCheck, differences: tuple[Mismatch, ...] = (), *, lost: str | None = None
) -> ReplayedWindow:
    return ReplayedWindow(
        window=check.window,
        dates=check.dates,
        at=check.at,
        recorded=check.decision.name,
        reason=check.decision.reason,
        differences=differences,
        lost=lost,
    )


def _differences(path: str, one: Any, other: Any) -> Iterator[Mismatch]:
    if isinstance(one, dict) and isinstance(other, dict):
        for key in {**one, **other}:
            below = f"{path}.{key}" if path else str(key)
            yield from _differences(below, one.get(key), other.get(key))
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for number, (a, b) in enumerate(zip(one, other, strict=True)):
            yield from _differences(f"{path}.{number}", a, b)
    elif not _is_same(one, other):
        yield Mismatch(field=path, recorded=one, again=other)


def _is_same(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=_SAME, abs_tol=1e-12)
    return bool(one == other)


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 200 else f"{text[:200]}…"
