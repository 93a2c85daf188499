"""The suite in force: beside pipeline.yaml where a person can edit it, and in the store."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
from prefect.logging import get_run_logger

from perennial.registry import Declaration
from perennial.store import layout
from perennial.validation import learn_suite
from perennial.validation.edits import merge
from perennial.validation.suites import parse_suite
from tasks.connection import store

EXPECTATIONS_FILE = "expectations.json"


def find_suite(declaration: Declaration) -> dict[str, Any] | None:
    """Read the suite: ``expectations.json`` beside pipeline.yaml, else the copy in the store.

    A person's edits count from here on; the store's copy follows the file, for workers that cannot
    see the folder.

    Raises:
        ValidationFailed: it is no JSON object.
    """
    key = layout.expectations(declaration.spec.name)
    file = _file(declaration)
    found = store().find(key)
    if file is not None and file.is_file():
        data = file.read_bytes()
        suite = parse_suite(data, str(file))
        if found is None or found.data != data:
            store().put(key, data, content_type="application/json")
        return suite
    return None if found is None else parse_suite(found.data, key)


def learn(
    declaration: Declaration, frame: pd.DataFrame, standing: dict[str, Any] | None
) -> dict[str, Any]:
    """Learn the suite from sound rows, keep a person's edits, and write it where it changed."""
    from perennial.training.columns import infer_features

    spec = declaration.spec
    suite = merge(standing, learn_suite(frame, infer_features(frame, spec), spec))
    if standing is not None and suite["expectations"] == standing["expectations"]:
        return standing
    data = (json.dumps(suite, indent=2) + "\n").encode()
    file = _file(declaration)
    if file is not None:
        try:
            file.write_bytes(data)
        except OSError as error:
            get_run_logger().warning("the suite stays in the store only: %s", error)
    store().put(layout.expectations(spec.name), data, content_type="application/json")
    return suite


def _file(declaration: Declaration) -> Path | None:
    return declaration.path / EXPECTATIONS_FILE if declaration.path is not None else None
