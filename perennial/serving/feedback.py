"""Labels of requests: ``POST /v1/models/<name>:feedback``.

It takes ``{"id": "a", "label": 12.5}``, a list of such objects, or ``{"labels": [...]}``, and
answers ``{"model": "bike", "accepted": 1}`` when they are in the log. Labels are accepted together
or not at all. A label for an id that has one takes its place. Whether a request of that id was ever
logged no server knows: the monitor counts labels without one.
"""

from __future__ import annotations

import json
import time
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from perennial.errors import RequestError
from perennial.packaging.labels import LabelRule
from perennial.serving.http import HttpError
from perennial.serving.rows import EXPLAINED, MAX_ID, check_objects, decode_json
from perennial.serving.segment import FeedbackRecord

_LARGEST = 2**63 - 1


class Label(msgspec.Struct, forbid_unknown_fields=True):
    """The truth about one prediction."""

    id: str
    label: str | bool | int | float


class _FeedbackBody(msgspec.Struct, forbid_unknown_fields=True):
    labels: list[Label] | UnsetType = UNSET
    id: str | UnsetType = UNSET
    label: str | bool | int | float | UnsetType = UNSET


_decoder = msgspec.json.Decoder(list[Label] | _FeedbackBody)
_encode = msgspec.json.Encoder().encode


def decode_feedback(body: bytes, rule: LabelRule, max_rows: int) -> list[Label]:
    """Read labels in any of their shapes.

    Args:
        rule: what a label may be.

    Raises:
        HttpError: 400 or 422, saying what is wrong.
        RequestError: a label breaks the rule; names its id, its value and what is known.
    """
    check_objects(body, max_rows)
    labels = _labels(body, rule)
    if not labels:
        raise HttpError(422, "labels is empty")
    if len(labels) > max_rows:
        raise HttpError(422, f"{len(labels)} labels in one request, {max_rows} are allowed")
    for label in labels:
        if not 0 < len(label.id) <= MAX_ID:
            raise HttpError(422, f"an id has 1 to {MAX_ID} characters")
        _check(label.id, label.label, rule, len(labels))
        if isinstance(label.label, int) and not -_LARGEST <= label.label <= _LARGEST:
            label.label = _to_float(label)
    return labels


def _labels(body: bytes, rule: LabelRule) -> list[Label]:
    try:
        parsed: list[Label] | _FeedbackBody = decode_json(_decoder, body)
    except HttpError as error:
        if error.status == 422 and len(body) <= EXPLAINED:
            _explain(body, rule)
        raise
    if isinstance(parsed, list):
        return parsed
    if not isinstance(parsed.labels, UnsetType):
        return parsed.labels
    if isinstance(parsed.id, UnsetType) or isinstance(parsed.label, UnsetType):
        raise HttpError(422, 'send {"id": ..., "label": ...}, or a list of them')
    return [Label(parsed.id, parsed.label)]


def _explain(body: bytes, rule: LabelRule) -> None:
    """Say which label is at fault, where one of a body that msgspec refuses is."""
    try:
        document: Any = json.loads(body)
    except (ValueError, RecursionError):
        return
    if isinstance(document, dict):
        document = document.get("labels", [document])
    for entry in document if isinstance(document, list) else ():
        if isinstance(entry, dict) and isinstance(entry.get("id"), str) and "label" in entry:
            _check(entry["id"], entry["label"], rule, len(document))


def _check(name: str, value: object, rule: LabelRule, count: int) -> None:
    fault = rule.fault(value)
    if fault is not None:
        others = f"; none of the {count:,} labels was taken" if count > 1 else ""
        raise RequestError(f"the label of {name[:MAX_ID]!r}: {fault.why}{others}")


def _to_float(label: Label) -> float:
    """Give a whole number that does not fit 64 bits in the form that JSON's readers share."""
    try:
        return float(label.label)
    except OverflowError:
        raise RequestError(f"the label of {label.id!r} is beyond what a number can be") from None


def feedback_records(labels: list[Label], owner: str = "") -> list[FeedbackRecord]:
    """Bring labels into the form in which they are logged.

    Args:
        owner: goes before their ids.
    """
    now = time.time_ns() // 1000
    return [
        FeedbackRecord(now, owner + label.id, _encode(label.label).decode()) for label in labels
    ]
