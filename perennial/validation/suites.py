"""The suite in force, as it stands in the store."""

from __future__ import annotations

import json
from typing import Any

from perennial.errors import ValidationFailed
from perennial.store import Store, layout


def find_suite(store: Store, pipeline: str) -> dict[str, Any]:
    """Read a pipeline's suite.

    Raises:
        ValidationFailed: there is none yet, or it is no JSON object.
    """
    key = layout.expectations(pipeline)
    found = store.find(key)
    if found is None:
        raise ValidationFailed(f"{pipeline} has no expectations yet: its first retrain learns them")
    return parse_suite(found.data, key)


def parse_suite(data: bytes, where: str) -> dict[str, Any]:
    """Read a suite's JSON; ``where`` names it in errors.

    Raises:
        ValidationFailed: it is no JSON object.
    """
    try:
        suite = json.loads(data)
    except ValueError as error:
        raise ValidationFailed(f"{where} is no JSON: {error}") from None
    if not isinstance(suite, dict):
        raise ValidationFailed(f"{where} is no suite: an object is expected")
    return suite
