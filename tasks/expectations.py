"""The suite in force as runs read it, and what a training learned."""

from __future__ import annotations

from typing import Any

import pandas as pd
from prefect.logging import get_run_logger

from perennial.errors import ValidationFailed
from perennial.registry import Declaration
from perennial.validation import learn_suite
from perennial.validation.suites import (
    find_learned,
    find_sound_suite,
    keep_edits,
    keep_learned,
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


def learn_first(declaration: Declaration, frame: pd.DataFrame) -> None:
    """Learn a suite from the very first rows, where none was learned yet or it was damaged."""
    try:
        known = find_learned(store(), declaration.spec.name)
    except ValidationFailed as error:
        get_run_logger().warning("%s; it is learned anew", error)
        known = None
    if known is None:
        learn(declaration, frame)


def learn(declaration: Declaration, frame: pd.DataFrame) -> None:
    """Learn the suite from sound rows; a person's changes hold over it."""
    from perennial.training.columns import infer_features

    spec = declaration.spec
    suite = learn_suite(frame, infer_features(frame, spec), spec)
    keep_learned(store(), spec.name, suite)


def _keep(declaration: Declaration) -> None:
    try:
        keep_edits(store(), declaration)
    except ValidationFailed as error:  # edited since it was read
        get_run_logger().warning("%s", error)
