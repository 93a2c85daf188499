"""The truth of rows: of a window's as far as it has come, and of all that a training may use.

A label, or a row, that cannot be used is told apart with the reason; it stops nothing.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

import pandas as pd
from ulid import ULID

from perennial.datasets.log_reader import (
    SegmentReader,
    list_segments,
    read_feedback,
    read_predictions,
)
from perennial.datasets.served import FAULT, RULE, add_faults, take_types, time_field, unusable
from perennial.packaging.labels import Fault, LabelRule
from perennial.packaging.signature import canonical_label
from perennial.spec import PipelineSpec, Task
from perennial.store import Store, layout

_LABEL_SLACK = timedelta(hours=1)
_ENOUGH_LABELS, _MIN_LABELS = 0.8, 20
"""A window's loss is judged once this share of its labels has come; by so many at least."""


@dataclass(frozen=True, eq=False)
class Told:
    """What feedback says of rows."""

    values: pd.Series
    """One a row; None where none has come that can be used."""
    faults: list[Fault | None]
    """One a row: why its label cannot be used, None where it can or has not come."""


@dataclass(frozen=True, eq=False)
class Labelled:
    """All rows whose truth has come."""

    frame: pd.DataFrame
    """Those that a training may use, the oldest first: the source's columns (features, target, and
    the time where declared), same dtypes as the source where the values allow it. The index names
    the rows: a row of the source by its place in it, a served one by its id."""
    unusable: pd.DataFrame
    """Served ones that it may not, with the same names, their label as it was sent, and what makes
    them unusable in ``RULE`` and ``FAULT``."""


def read_labels(
    texts: Iterable[object], rule: LabelRule
) -> tuple[list[object], list[Fault | None]]:
    """Read labels of the log, JSON scalars.

    Args:
        texts: what is no str is no label yet.

    Returns:
        Their values, None where there is none that can be used; and why it cannot.
    """
    values: list[object] = []
    faults: list[Fault | None] = []
    for text in texts:
        value, fault = _read_label(text, rule) if isinstance(text, str) else (None, None)
        values.append(value)
        faults.append(fault)
    return values, faults


def _read_label(text: str, rule: LabelRule) -> tuple[object, Fault | None]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None, Fault("is_json", f"{text[:100]!r} is no JSON")
    fault = rule.fault(value)
    return (value, None) if fault is None else (None, fault)


def fewest_labels(rows: int) -> float:
    """Labels that a window of so many rows is judged by at least."""
    return min(_MIN_LABELS, _ENOUGH_LABELS * rows)


def labels_have_come(come: Sequence[int], rows: Sequence[int]) -> list[bool]:
    """Which windows have the labels that they will get.

    Those of most of their rows; or nearly as large a share as a later window has already: where
    only some rows are ever labelled, no more are waited for.

    Args:
        come: labels of each window so far, the oldest first.
        rows: its rows.
    """
    shares = [count / max(size, 1) for count, size in zip(come, rows, strict=True)]
    return [
        share >= _ENOUGH_LABELS
        or (
            come[number] >= _MIN_LABELS
            and max(shares[number + 1 :], default=0.0) >= _ENOUGH_LABELS * share
        )
        for number, share in enumerate(shares)
    ]


def labels_for(
    reader: SegmentReader, pipeline: str, window: pd.DataFrame, target: str, rule: LabelRule
) -> Told:
    """The truth of a window's rows as far as it is known.

    Returns:
        Of the target column for source rows, the parsed JSON scalar of the latest feedback for
        served rows.
    """
    known = window[target] if target in window.columns else pd.Series(None, window.index, object)
    known = known.astype(object).where(known.notna(), None)
    if "_id" not in window.columns or window["_id"].notna().sum() == 0:
        return Told(known, [None] * len(window))
    earliest = window["_time"].min() - _LABEL_SLACK
    prefix = layout.feedback_log(pipeline)
    since = f"{prefix}{ULID.from_timestamp(earliest.timestamp())}"
    feedback = read_feedback(reader, pipeline, since=since)
    values, faults = read_labels(window["_id"].map(feedback), rule)
    told = pd.Series(values, window.index, object)
    return Told(known.where(told.isna(), told), faults)


def labelled_rows(store: Store, spec: PipelineSpec, source: pd.DataFrame) -> Labelled:
    """All rows whose truth is known: what a training may use, and what it may not."""
    kept = [c for c in source.columns if c not in spec.ignore]
    history = source.loc[source[spec.target].notna(), kept]
    segments = list_segments(store, layout.prediction_log(spec.name))
    served = read_predictions(store, segments, time_field(spec))
    feedback = read_feedback(SegmentReader(store), spec.name)
    served = served[served["_id"].isin(feedback.index)]
    if served.empty:
        return Labelled(history, history.iloc[:0].assign(**{RULE: None, FAULT: None}))
    served = take_types(served, source, spec).set_index("_id")
    sent = served.index.map(feedback)
    values, faults = read_labels(sent, label_rule(spec, history[spec.target], sent))
    served = add_faults(served.assign(**{spec.target: values}), spec.target, faults)
    bad = unusable(served)
    refused = served.assign(**{spec.target: sent})[bad].reindex(columns=[*kept, RULE, FAULT])
    history = history.assign(**{spec.target: typed_labels(history[spec.target], spec.task)})
    usable = served[~bad].reindex(columns=kept)
    usable = usable.assign(**{spec.target: typed_labels(usable[spec.target], spec.task)})
    together = pd.concat([history, usable], ignore_index=True)
    names = pd.Index([*history.index, *usable.index], dtype=object)
    return Labelled(together.set_axis(names), refused)


def label_rule(spec: PipelineSpec, history: pd.Series, feedback: Iterable[object]) -> LabelRule:
    """What a label of the log may be, seen from the source.

    The classes of a binary task are those of the source. Where it has only one, or none, the most
    frequent of the feedback fill up: no feedback can make them more than two.

    Args:
        history: the target of the source.
        feedback: labels of the log, as they stand there.
    """
    if spec.task != "binary":
        return LabelRule(spec.task)
    classes = {canonical_label(value) for value in history.dropna().unique()}
    values, _ = read_labels(feedback, LabelRule(spec.task)) if len(classes) < 2 else ([], [])
    counts = Counter(canonical_label(value) for value in values if value is not None)
    for label in sorted(counts.keys() - classes, key=lambda label: (-counts[label], label)):
        if len(classes) < 2:
            classes.add(label)
    return LabelRule(spec.task, tuple(sorted(classes)))


def with_truth(frame: pd.DataFrame, spec: PipelineSpec) -> pd.DataFrame:
    """The rows whose truth is known, in the one type of the task: what a training looks at."""
    frame = frame.assign(**{spec.target: typed_labels(frame[spec.target], spec.task)})
    return frame[frame[spec.target].notna()]


def typed_labels(labels: pd.Series, task: Task) -> pd.Series:
    """Labels in the one type of their task: float64 for regression, canonical text for classes."""
    if task == "regression":
        return pd.to_numeric(labels, errors="coerce")
    return labels.map(lambda value: None if pd.isna(value) else canonical_label(value))
