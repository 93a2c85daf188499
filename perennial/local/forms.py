"""Pipelines by name in the forms of Prefect's UI: a choice, and nothing else is taken."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from perennial.registry import in_sight, known_pipelines
from perennial.spec import NAME_PATTERN
from perennial.store import Store

TAG = "perennial"
FIELD = "pipeline"
Call = Callable[[str, str, Any], Any]
"""Asks Prefect's REST API: method, path, body; gives the decoded answer."""


def pipeline_names(store: Store, folders: Iterable[Path]) -> list[str]:
    """Every pipeline that a run may be started for: declared in the store, or in a folder.

    One whose pipeline.yaml may not stand as it does is offered too: its run says what is wrong.
    """
    named = [name for name in in_sight(folders) if re.fullmatch(NAME_PATTERN, name)]
    return sorted({*known_pipelines(store), *named})


def offer(call: Call, names: Iterable[str], *, only: bool = False) -> None:
    """Add pipelines to the choice in every form that asks for one.

    The server refuses any other name before a run is made. Applying prefect.yaml anew forgets the
    choice: until it is offered again, any name is taken.

    Args:
        only: these and no others.
    """
    asked = {"deployments": {"tags": {"all_": [TAG]}}}
    for deployment in call("POST", "/deployments/filter", asked):
        schema = deployment["parameter_openapi_schema"]
        wanted = with_choice(schema, names, only=only) if schema else schema
        if wanted != schema:
            body = {"parameter_openapi_schema": wanted}
            call("PATCH", f"/deployments/{deployment['id']}", body)


def is_offered(schema: dict[str, Any], name: str) -> bool:
    """Tell whether a form takes a name; one without a choice does not name any."""
    return name in _choices(schema)


def with_choice(
    schema: dict[str, Any], names: Iterable[str], *, only: bool = False
) -> dict[str, Any]:
    """The schema of a form with names to choose from where it asks for a pipeline, and no place for
    parameters that the flow does not know."""
    changed = {**copy.deepcopy(schema), "additionalProperties": False}
    branch = _branch(changed)
    if branch is not None:
        before = [] if only else branch.get("enum", [])
        branch["enum"] = sorted({*before, *names})
        if not branch["enum"]:
            del branch["enum"]
    return changed


def _choices(schema: dict[str, Any]) -> list[str]:
    branch = _branch(schema)
    return [] if branch is None else list(branch.get("enum", []))


def _branch(schema: dict[str, Any]) -> dict[str, Any] | None:
    """The part of a form's schema that says which text may name a pipeline."""
    field = schema.get("properties", {}).get(FIELD)
    if field is None:
        return None
    branches = [field, *field.get("anyOf", [])]
    return next((branch for branch in branches if branch.get("type") == "string"), None)
