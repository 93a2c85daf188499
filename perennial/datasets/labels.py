"""The truth of rows: of a window's as far as it has come, and of all that a training may use."""

from __future__ import annotations

import json
from datetime import timedelta

import pandas as pd
from ulid import ULID

from perennial.datasets.log_reader import (
    SegmentReader,
    list_segments,
    read_feedback,
    read_predictions,
)
from perennial.datasets.source import parse_time
from perennial.packaging.signature import canonical_label
from perennial.spec import PipelineSpec, Task
from perennial.store import Store, layout

_LABEL_SLACK = timedelta(hours=1)


def labels_for(
    reader: SegmentReader, pipeline: str, window: pd.DataFrame, target: str
) -> pd.Series:
    """The truth of a window's rows as far as it is known.

    Returns:
        One value a row: of the target column for source rows, the parsed JSON scalar of the latest
        feedback for served rows, None where it has not come.
    """
    known = window[target] if target in window.columns else pd.Series(None, window.index, object)
    known = known.astype(object).where(known.notna(), None)
    if "_id" not in window.columns or window["_id"].notna().sum() == 0:
        return known
    earliest = window["_time"].min() - _LABEL_SLACK
    prefix = layout.feedback_log(pipeline)
    since = f"{prefix}{ULID.from_timestamp(earliest.timestamp())}"
    feedback = read_feedback(reader, pipeline, since=since)
    told = window["_id"].map(feedback)
    return known.where(told.isna(), told.map(_parse_label))


def labelled_rows(store: Store, spec: PipelineSpec, source: pd.DataFrame) -> pd.DataFrame:
    """All rows whose truth is known, oldest first: what a training may use.

    Returns:
        The source's columns (features, target, and the time where declared), same dtypes as the
        source where the values allow it. The index names the rows: a row of the source by its place
        in it, a served one by its id.
    """
    kept = [c for c in source.columns if c not in spec.ignore]
    history = source.loc[source[spec.target].notna(), kept]
    served = read_predictions(store, list_segments(store, layout.prediction_log(spec.name)))
    if served.empty:
        return history
    feedback = read_feedback(SegmentReader(store), spec.name)
    served = served[served["_id"].isin(feedback.index)]
    if served.empty:
        return history
    labels = served["_id"].map(feedback).map(_parse_label)
    served = served.assign(**{spec.target: typed_labels(labels, spec.task)})
    served = served[served[spec.target].notna()]
    if spec.time is not None and spec.time in served.columns:
        served = served.assign(**{spec.time: parse_time(served[spec.time], "time")})
    history = history.assign(**{spec.target: typed_labels(history[spec.target], spec.task)})
    served = served.set_index("_id").reindex(columns=kept)
    together = pd.concat([history, served], ignore_index=True)
    return together.set_axis(pd.Index([*history.index, *served.index], dtype=object))


def with_truth(frame: pd.DataFrame, spec: PipelineSpec) -> pd.DataFrame:
    """The rows whose truth is known, in the one type of the task: what a training looks at."""
    frame = frame.assign(**{spec.target: typed_labels(frame[spec.target], spec.task)})
    return frame[frame[spec.target].notna()]


def typed_labels(labels: pd.Series, task: Task) -> pd.Series:
    """Labels in the one type of their task: float64 for regression, canonical text for classes."""
    if task == "regression":
        return pd.to_numeric(labels, errors="coerce")
    return labels.map(lambda value: None if pd.isna(value) else canonical_label(value))


def _parse_label(text: object) -> object:
    return json.loads(text) if isinstance(text, str) else None
