"""``quarantine/``: rows and windows that were refused, why, and what was let through after all.

A row is known by its id in the log, or by its place and content in the source, so one that is
refused by the monitor's check of its window and again at the next snapshots stands here once. A
record is written after its rows and under a condition: a run that is repeated changes nothing.
Nothing is removed; a release is one more file.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import AwareDatetime, BaseModel, ConfigDict

from perennial.datasets.dates import Dates
from perennial.datasets.served import FAULT, RULE
from perennial.datasets.stream import Cursor
from perennial.errors import Conflict, PerennialError
from perennial.packaging.signature import canonical_label
from perennial.spec import PipelineSpec
from perennial.store import Store, layout
from perennial.validation.cause import Cause
from perennial.validation.row_rules import hash_rows

ROW, ID = "_row", "_id"


class Record(BaseModel):
    """``quarantine/<name>/record.json``."""

    model_config = ConfigDict(frozen=True)

    format: Literal[1] = 1
    pipeline: str
    name: str
    """The window, or the sha256 of the snapshot."""
    kind: Literal["rows", "window"]
    """Single rows, or a window that is held whole (its rows stay where they are)."""
    rows: int
    reasons: tuple[str, ...]
    """The rules with the number of rows that each refused, or the causes of the hold."""
    start: Cursor | None = None
    end: Cursor | None = None
    """Of a held window: where in the stream it lies."""
    dates: Dates | None = None
    """Of a window's rows; None: they have no times, or a snapshot's were refused."""
    at: AwareDatetime


class Release(BaseModel):
    """``quarantine/<name>/released/...json``."""

    model_config = ConfigDict(frozen=True)

    format: Literal[1] = 1
    rows: tuple[str, ...] | None
    """Ids of the rows; None: all."""
    why: str
    by: str
    at: AwareDatetime


class Entry(BaseModel):
    """A record and what has been released of it."""

    model_config = ConfigDict(frozen=True)

    record: Record
    releases: tuple[Release, ...] = ()

    @property
    def released(self) -> int:
        """How many of its rows have been released."""
        if any(release.rows is None for release in self.releases):
            return self.record.rows
        return len({row for release in self.releases for row in release.rows or ()})


class Quarantine:
    """A pipeline's refused rows as they stand in the store."""

    def __init__(self, store: Store, pipeline: str) -> None:
        self._store, self._pipeline = store, pipeline

    def entries(self) -> list[Entry]:
        """All records, the oldest first."""
        prefix = layout.quarantine(self._pipeline)
        keys = [info.key for info in self._store.scan(prefix)]
        released: dict[str, list[Release]] = {}
        for key in keys:
            name, _, rest = key.removeprefix(prefix).partition("/")
            if rest.startswith("released/"):
                found = Release.model_validate_json(self._store.get(key).data)
                released.setdefault(name, []).append(found)
        records = [
            Record.model_validate_json(self._store.get(key).data)
            for key in keys
            if key.endswith("/record.json")
        ]
        return [
            Entry(record=record, releases=tuple(released.get(record.name, ())))
            for record in sorted(records, key=lambda r: (r.at, r.name))
        ]

    def rows(self, name: str) -> pd.DataFrame:
        """The refused rows of one record; ``_row`` is a row's id, ``_rule`` what refused it.

        Raises:
            PerennialError: the record holds no rows: it is of a window, whose rows stay where they
                are.
        """
        found = self._store.find(layout.quarantine_rows(self._pipeline, name))
        if found is None:
            raise PerennialError(
                f"{name} holds no rows of its own: it is no entry, or a held window"
            )
        return pd.read_parquet(io.BytesIO(found.data))

    def exempt(self) -> set[str]:
        """Ids of the rows that were released."""
        found: set[str] = set()
        for entry in self.entries():
            if entry.record.kind == "rows" and entry.releases:
                found |= self._released(entry)
        return found

    def held_windows(self) -> list[Record]:
        """Windows that are held and were not released."""
        return [
            entry.record
            for entry in self.entries()
            if entry.record.kind == "window" and not entry.releases
        ]

    def put_aside(
        self,
        name: str,
        refused: pd.DataFrame,
        rules: Sequence[str],
        ids: Sequence[str],
        at: AwareDatetime,
        dates: Dates | None = None,
    ) -> int:
        """Write refused rows, those that do not stand here yet.

        Args:
            refused: the rows.
            rules: for each the rule that refused it.
            ids: for each its id (`row_ids`).
            dates: of all rows of the window.

        Returns:
            How many are new.
        """
        if self._store.find(layout.quarantine_record(self._pipeline, name)) is not None:
            return 0
        known = {
            row
            for entry in self.entries()
            if entry.record.kind == "rows"
            for row in self.rows(entry.record.name)[ROW]
        }
        fresh = np.array([row not in known for row in ids], dtype=bool)
        if not fresh.any():
            return 0
        kept = refused[fresh].reset_index(drop=True)
        kept = kept.assign(**{ROW: np.array(ids)[fresh], RULE: np.array(rules)[fresh]})
        buffer = io.BytesIO()
        _plain(kept).to_parquet(buffer, index=False)
        self._store.put(layout.quarantine_rows(self._pipeline, name), buffer.getvalue())
        reasons = _reasons(kept)
        record = Record(
            pipeline=self._pipeline,
            name=name,
            kind="rows",
            rows=len(kept),
            reasons=reasons,
            dates=dates,
            at=at,
        )
        self._write(record)
        return len(kept)

    def put_unusable(
        self, prefix: str, rows: pd.DataFrame, ids: Sequence[str], at: AwareDatetime
    ) -> int:
        """Write rows that cannot be used, those that do not stand here yet.

        Args:
            prefix: of the entry's name, which goes on with a hash of what is in it.
            rows: with the rule that each breaks under ``RULE``.
            ids: for each its id.

        Returns:
            How many are new.
        """
        if rows.empty:
            return 0
        content = "\n".join([*ids, *rows[RULE]])
        name = f"{prefix}-unusable-{hashlib.sha256(content.encode()).hexdigest()[:8]}"
        return self.put_aside(name, rows, list(rows[RULE]), ids, at)

    def hold(
        self,
        window: str,
        causes: Iterable[Cause],
        start: Cursor,
        end: Cursor,
        rows: int,
        at: AwareDatetime,
        dates: Dates | None = None,
    ) -> None:
        """Keep a whole window from training; its rows stay where they lie."""
        self._write(
            Record(
                pipeline=self._pipeline,
                name=layout.held_window(window),
                kind="window",
                rows=rows,
                reasons=tuple(map(str, causes)),
                start=start,
                end=end,
                dates=dates,
                at=at,
            )
        )

    def _write(self, record: Record) -> None:
        key = layout.quarantine_record(self._pipeline, record.name)
        try:
            self._store.put_json(key, record, if_absent=True)
        except Conflict:
            return  # A run before this one wrote it.

    def release(
        self,
        name: str,
        release: str,
        why: str,
        by: str,
        at: AwareDatetime,
        *,
        rule: str | None = None,
        rows: Sequence[str] | None = None,
    ) -> Release:
        """Let refused rows, or a held window, be used by the next snapshot.

        Args:
            release: name of the release; one of this name that stands already is kept.
            rule: only rows that this rule refused.
            rows: only these ids.

        Raises:
            PerennialError: there is no such record, or nothing in it that this names.
        """
        if self._store.find(layout.quarantine_record(self._pipeline, name)) is None:
            raise PerennialError(
                f"{self._pipeline} has nothing named {name!r} in quarantine: 'perennial quarantine "
                f"{self._pipeline}' lists what there is"
            )
        if rule is not None:
            frame = self.rows(name)
            rows = list(frame.loc[frame[RULE].str.startswith(rule), ROW])
            if not rows:
                raise PerennialError(f"no row of {name} was refused by {rule!r}")
        made = Release(rows=None if rows is None else tuple(rows), why=why, by=by, at=at)
        key = layout.quarantine_release(self._pipeline, name, release)
        try:
            self._store.put_json(key, made, if_absent=True)
        except Conflict:
            return Release.model_validate_json(self._store.get(key).data)
        return made

    def settle(
        self, present: Iterable[str], refused: Iterable[str], by: str, at: AwareDatetime
    ) -> int:
        """Release rows that stand here and pass now: the rules, or the source, were mended.

        Args:
            present: ids of rows that are used now.
            refused: ids of rows that the rules refuse now.

        Returns:
            How many there were.
        """
        passing, stopped, count = set(present), set(refused), 0
        for entry in self.entries():
            if entry.record.kind != "rows":
                continue
            standing = set(self.rows(entry.record.name)[ROW]) - self._released(entry)
            mended = sorted((standing & passing) - stopped)
            if mended:
                why = "the rules let them through now"
                self.release(entry.record.name, f"mended-{by}", why, by, at, rows=mended)
                count += len(mended)
        return count

    def _released(self, entry: Entry) -> set[str]:
        if any(release.rows is None for release in entry.releases):
            return set(self.rows(entry.record.name)[ROW])
        return {row for release in entry.releases for row in release.rows or ()}


def _reasons(rows: pd.DataFrame) -> tuple[str, ...]:
    """The rules that refused rows, the most frequent first; of what cannot be used an example."""
    found = []
    for rule, count in rows[RULE].value_counts().items():
        whys = rows.loc[rows[RULE] == rule].get(FAULT, pd.Series(dtype=object)).dropna()
        example = f", such as {whys.iloc[0]}" if len(whys) else ""
        found.append(f"{rule}: {count}{example}")
    return tuple(found)


def find_name(entries: Sequence[Entry], prefix: str, pipeline: str) -> str:
    """Complete the name of an entry.

    Raises:
        PerennialError: no entry's name begins so, or several do.
    """
    names = [entry.record.name for entry in entries if entry.record.name.startswith(prefix)]
    if len(names) == 1 or prefix in names:
        return prefix if prefix in names else names[0]
    raise PerennialError(
        f"{'nothing' if not names else 'more than one thing'} in the quarantine of {pipeline} is "
        f"named {prefix}...: 'perennial quarantine {pipeline}' lists what there is"
    )


def row_ids(frame: pd.DataFrame, numbers: NDArray[np.int64], spec: PipelineSpec) -> list[str]:
    """Name rows for good: by their id in the log, else by their place and content in the source.

    Args:
        frame: rows; ``_id`` is the log's id, missing for rows of the source.
        numbers: for rows of the source their place in it.
    """
    apart = {spec.target, *spec.ignore}
    kept = sorted(
        (c for c in frame.columns if c not in apart and not str(c).startswith("_")), key=str
    )
    prints = hash_rows(frame[kept].apply(_canonical))
    ids = frame[ID] if ID in frame.columns else pd.Series(None, frame.index, dtype=object)
    return [
        str(name) if isinstance(name, str) else f"source-{number}-{mark:016x}"
        for name, number, mark in zip(ids, numbers, prints, strict=True)
    ]


def _canonical(column: pd.Series) -> pd.Series:
    """The same values whatever came in the rows beside them."""
    if pd.api.types.is_numeric_dtype(column.dtype):
        return column.astype(float)
    return column.map(lambda value: None if pd.isna(value) else canonical_label(value)).astype(
        object
    )


def _plain(frame: pd.DataFrame) -> pd.DataFrame:
    """What Parquet can hold: objects as text."""
    mixed = [c for c in frame.columns if pd.api.types.is_string_dtype(frame[c].dtype)]
    return frame.assign(
        **{c: [None if _is_none(v) else canonical_label(v) for v in frame[c]] for c in mixed}
    )


def _is_none(value: object) -> bool:
    return not isinstance(value, np.ndarray | list) and bool(pd.isna(value))
