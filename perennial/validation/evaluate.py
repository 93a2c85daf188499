"""Hold a table against a suite, in one piece or batch by batch, with the same verdict.

What is known here is evaluated on whole columns by our own code, which agrees with Great
Expectations (a test sees to that), takes less time, and says of each row which rule refuses it.
Rules that are not known here are left to Great Expectations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from perennial.datasets.labels import with_truth
from perennial.spec import PipelineSpec
from perennial.validation.check import is_known, read_checked
from perennial.validation.foreign import judge_foreign
from perennial.validation.report import Finding, Report
from perennial.validation.row_rules import ROW_KINDS
from perennial.validation.rules import Rule
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
        self.rules = read_checked(suite)
        self._suite, self._share, self._exempt = suite, share, exempt
        self._tallies = {n: _tally(rule) for n, rule in enumerate(self.rules) if is_known(rule)}
        self._rows = 0
        self._refused = np.zeros(len(self.rules), dtype=np.int64)

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


def validate_training(
    frame: pd.DataFrame,
    suite: dict[str, Any],
    spec: PipelineSpec,
    *,
    exempt: Callable[[pd.DataFrame], NDArray[np.bool_]] | None = None,
) -> Report:
    """Hold rows against a suite as a training of them would.

    Args:
        frame: as `perennial.datasets.source.read_source` gives it.
        exempt: as of `Evaluation`.

    Raises:
        ValidationFailed: the suite itself is no valid suite.
    """
    evaluation = Evaluation(suite, share=spec.validation.quarantine_share, exempt=exempt)
    known = with_truth(frame.drop(columns=list(spec.ignore)), spec)
    evaluation.add(known)
    report = evaluation.report(lambda columns: known if columns is None else known[columns])
    return report.model_copy(update={"unlabelled": len(frame) - len(known)})
