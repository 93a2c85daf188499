"""Hold a table against a suite, in one piece or batch by batch, with the same verdict.

What is known here is evaluated on whole columns by our own code, which agrees with Great
Expectations (a test sees to that), takes less time, and says of each row which rule refuses it.
Rules that are not known here are left to Great Expectations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from perennial.errors import ValidationFailed
from perennial.validation.foreign import judge_foreign
from perennial.validation.report import Finding, Report
from perennial.validation.row_rules import ROW_KINDS
from perennial.validation.rules import Rule, read_rules
from perennial.validation.table_rules import TABLE_KINDS

Refusals = NDArray[np.int16]
"""For each row of a batch the number of the first rule that refuses it, -1 for none."""
Read = Callable[[list[str] | None], pd.DataFrame]
"""Reads the whole table again, these columns of it; None: all."""

_EXAMPLES = 5


class Evaluation:
    """One pass over the batches of a table.

    Args:
        suite: as Great Expectations writes it.
        share: of the rows that may go aside; beyond it the table is held.
        exempt: tells of refused rows (a frame of them) which are let through all the same.

    Raises:
        ValidationFailed: the suite is none, or a rule that judges no rows is to set some aside.
    """

    def __init__(
        self,
        suite: dict[str, Any],
        *,
        share: float,
        exempt: Callable[[pd.DataFrame], NDArray[np.bool_]] | None = None,
    ) -> None:
        self.rules = read_rules(suite)
        self._suite, self._share, self._exempt = suite, share, exempt
        self._tallies = {n: _tally(rule) for n, rule in enumerate(self.rules) if _known(rule)}
        self._rows = 0
        self._refused = np.zeros(len(self.rules), dtype=np.int64)
        for number, rule in enumerate(self.rules):
            if rule.severity == "quarantine" and rule.type not in ROW_KINDS:
                raise ValidationFailed(
                    f"expectations.json: expectations[{number}].meta.severity: {rule.type} sets no "
                    "rows aside; write hold or warn"
                )

    def add(self, frame: pd.DataFrame) -> Refusals:
        """Hold the next batch against every rule that is known here."""
        refusals = np.full(len(frame), -1, dtype=np.int16)
        for number, tally in self._tallies.items():
            bad = tally.add(frame)
            if bad is not None and self.rules[number].severity == "quarantine":
                refusals[bad & (refusals < 0)] = number
        refused = np.flatnonzero(refusals >= 0)
        if len(refused) and self._exempt is not None:
            refusals[refused[self._exempt(frame.iloc[refused])]] = -1
        self._rows += len(frame)
        self._refused += np.bincount(refusals[refusals >= 0], minlength=len(self.rules))
        return refusals

    def report(self, read: Read) -> Report:
        """Sum up.

        Args:
            read: gives the table once more for rules that only Great Expectations knows.
        """
        findings = dict(self._findings())
        unknown = {n: rule for n, rule in enumerate(self.rules) if n not in self._tallies}
        findings |= judge_foreign(self._suite, unknown, read)
        found = tuple(findings[number] for number in sorted(findings))
        refused = int(self._refused.sum())
        return Report(
            rows=self._rows,
            rules=len(self.rules),
            findings=found,
            refused=refused,
            share=self._share,
        )

    def _findings(self) -> Iterator[tuple[int, Finding]]:
        for number, tally in self._tallies.items():
            rule, aside = self.rules[number], int(self._refused[number])
            if rule.severity == "quarantine":
                if aside:
                    yield number, _finding(rule, tally.observed(), aside)
            elif not tally.success():
                yield number, _finding(rule, tally.observed(), 0)


def _finding(rule: Rule, observed: str, refused: int) -> Finding:
    return Finding(
        rule=rule.type,
        column=", ".join(rule.columns) or None,
        severity=rule.severity,
        observed=observed,
        refused=refused,
    )


def _known(rule: Rule) -> bool:
    kind = ROW_KINDS.get(rule.type) or TABLE_KINDS.get(rule.type)
    given = {key for key, value in rule.kwargs.items() if value is not None}
    return kind is not None and given <= kind.arguments


def _tally(rule: Rule) -> _RowTally | _TableTally:
    return _RowTally(rule) if rule.type in ROW_KINDS else _TableTally(rule)


class _RowTally:
    """How many rows broke a rule so far, and some of what they held."""

    def __init__(self, rule: Rule) -> None:
        self._rule, self._kind = rule, ROW_KINDS[rule.type].build(rule.kwargs)
        self._tried = self._broken = 0
        self._fault: str | None = None
        self._examples: dict[str, None] = {}

    def add(self, frame: pd.DataFrame) -> NDArray[np.bool_] | None:
        absent = [name for name in self._rule.columns if name not in frame.columns]
        if absent:
            self._fault = f"there is no column {absent[0]!r}"
            return None
        seen = self._kind.add(frame[list(self._rule.columns)])
        self._tried += seen.tried
        self._broken += seen.broken
        self._fault = self._fault or seen.fault
        if seen.broken and len(self._examples) < _EXAMPLES:
            rows = np.flatnonzero(seen.bad)[:_EXAMPLES]
            for values in frame[list(self._rule.columns)].iloc[rows].itertuples(index=False):
                self._examples[" / ".join(map(str, values))] = None
        return seen.bad

    def success(self) -> bool:
        if self._fault is not None:
            return False
        mostly = self._rule.kwargs.get("mostly", 1)
        return not self._tried or (self._tried - self._broken) / self._tried >= mostly

    def observed(self) -> str:
        if self._fault is not None:
            return self._fault
        percent = 100 * self._broken / max(self._tried, 1)
        shown = ", ".join(list(self._examples)[:_EXAMPLES])
        return f"{percent:.1f}% of the rows" + (f": {shown}" if shown else "")


class _TableTally:
    """A figure so far."""

    def __init__(self, rule: Rule) -> None:
        self._rule, self._kind = rule, TABLE_KINDS[rule.type]
        self._statistic = self._kind.build(rule.kwargs)
        self._fault: str | None = None

    def add(self, frame: pd.DataFrame) -> None:
        absent = [name for name in self._rule.columns if name not in frame.columns]
        if absent and self._rule.type != "expect_column_to_exist":
            self._fault = f"there is no column {absent[0]!r}"
            return
        try:
            self._statistic.add(frame)
        except (TypeError, ValueError):
            self._fault = "the column holds no numbers"

    def success(self) -> bool:
        if self._fault is not None:
            return False
        return self._kind.judge(self._statistic.value(), self._rule.kwargs)

    def observed(self) -> str:
        if self._fault is not None:
            return self._fault
        value = self._statistic.value()
        return "no value" if value is None else f"{value:.6g}"


def validate(frame: pd.DataFrame, suite: dict[str, Any], *, share: float = 0.0) -> Report:
    """Hold a frame against a suite.

    Args:
        share: of the rows that rules may set aside before the frame is held.

    Raises:
        ValidationFailed: the suite itself is no valid suite.
    """
    evaluation = Evaluation(suite, share=share)
    evaluation.add(frame)
    return evaluation.report(lambda columns: frame if columns is None else frame[columns])


def validate_parquet(
    folder: Path, suite: dict[str, Any], *, share: float = 0.0, batch_rows: int = 65_536
) -> Report:
    """Hold a Parquet file or folder against a suite, ``batch_rows`` rows in memory at a time.

    Of each row group, one after the other, the columns that rules name are read.

    Raises:
        ValidationFailed: as `Evaluation`; or there is nothing to read.
    """
    import pyarrow as pa
    import pyarrow.dataset as ds

    try:
        source = ds.dataset(folder, format="parquet")
    except (OSError, pa.ArrowInvalid) as error:
        raise ValidationFailed(f"{folder} cannot be read as Parquet: {error}") from None
    evaluation = Evaluation(suite, share=share)
    named = {name for rule in evaluation.rules for name in rule.columns}
    columns = [name for name in source.schema.names if name in named]
    # A column at least, for the rows to be counted by.
    for batch in _batches(source, batch_rows, columns or source.schema.names[:1]):
        evaluation.add(batch)

    def read(columns: list[str] | None) -> pd.DataFrame:
        return _as_pandas(source.to_table(columns=columns), _with_gaps(source))

    return evaluation.report(read)


def _batches(source: Any, rows: int, columns: list[str]) -> Iterable[pd.DataFrame]:
    """Read row group by row group: a scan of the whole folder decodes far ahead of its reader."""
    import pyarrow.dataset as ds

    gaps = _with_gaps(source)
    # Buffered ahead, a fragment keeps all of its file's bytes until it is read to the end.
    options = ds.ParquetFragmentScanOptions(pre_buffer=False)
    for fragment in source.get_fragments():
        for group in fragment.split_by_row_group():
            for batch in group.to_batches(
                source.schema,
                columns=columns,
                batch_size=rows,
                batch_readahead=1,
                use_threads=False,
                fragment_scan_options=options,
            ):
                if batch.num_rows:
                    yield _as_pandas(batch, gaps)


def _with_gaps(source: Any) -> set[str]:
    """Columns with a missing value anywhere: their type in pandas must not vary by batch."""
    gaps = set()
    for fragment in source.get_fragments():
        for group in fragment.metadata.to_dict()["row_groups"]:
            for column in group["columns"]:
                known = column["statistics"]
                if known is None or known["null_count"] is None or known["null_count"] > 0:
                    gaps.add(column["path_in_schema"])
    return gaps


def _as_pandas(table: Any, gaps: set[str]) -> pd.DataFrame:
    frame = table.to_pandas()
    whole = [c for c in frame.columns if c in gaps and pd.api.types.is_integer_dtype(frame[c])]
    truths = [c for c in frame.columns if c in gaps and pd.api.types.is_bool_dtype(frame[c])]
    types = {**dict.fromkeys(whole, "float64"), **dict.fromkeys(truths, object)}
    converted: pd.DataFrame = frame.astype(types)
    return converted
