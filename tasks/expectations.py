"""The suite in force as runs read it."""

from __future__ import annotations

from typing import Any

from prefect.logging import get_run_logger

from perennial.errors import ValidationFailed
from perennial.registry import Declaration
from perennial.validation.suites import (
    find_sound_suite,
    keep_edits,
    need_suite,
)
from tasks.connection import store


def suite_in_force(declaration: Declaration) -> dict[str, Any]:
    """Read the suite in force for a run that a person asked for.

    Raises:
        ValidationFailed: there is none, or the file beside pipeline.yaml is no suite.
    """
    keep_edits(store(), declaration)
    return need_suite(store(), declaration)


def sound_suite(declaration: Declaration) -> tuple[dict[str, Any] | None, str | None]:
    """Read the suite in force for a run of the loop, which no file may stop.

    Returns:
        The suite, and why the file beside pipeline.yaml does not count, where it cannot be used.
    """
    suite, fault = find_sound_suite(store(), declaration)
    if fault is None:
        _keep(declaration)
    else:
        get_run_logger().warning("%s; the rules before it are in force", fault)
    return suite, fault


def _keep(declaration: Declaration) -> None:
    try:
        keep_edits(store(), declaration)
    except ValidationFailed as error:  # edited since it was read
        get_run_logger().warning("%s", error)
