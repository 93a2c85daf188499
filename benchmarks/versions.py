"""Versions made by hand: put into the store as a retrain would have, without one."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from perennial.packaging.signature import Signature
from perennial.registry import FileEntry, Lineage, Manifest, Recipe
from perennial.registry.manifest import MODEL_FILE, SIGNATURE_FILE, Runtime
from perennial.store import Store, layout

LINEAGE = Lineage(
    snapshot="0" * 64,
    spec="0" * 64,
    code="0",
    sources="0" * 64,
    environment={},
    lock="0" * 64,
    threads=1,
    seed=0,
    recipe=Recipe(trained_rows=0, trial_rows=0, judged_rows=0),
    parent=None,
    reason="made by hand",
    cause=None,
    run="nobody",
    estimator="made by hand",
)
RUNTIME = Runtime(ir=8, opsets={"": 17})


def put_version(
    store: Store,
    pipeline: str,
    version: str,
    model: bytes,
    signature: Signature,
    *,
    metrics: Mapping[str, Any] | None = None,
    damaged: bool = False,
) -> None:
    """Write a version, its manifest last; damaged: its model is not what the manifest says."""
    files = {MODEL_FILE: model, SIGNATURE_FILE: signature.model_dump_json().encode()}
    entries = {
        name: FileEntry(sha256=hashlib.sha256(data).hexdigest(), size=len(data))
        for name, data in files.items()
    }
    if damaged:
        files[MODEL_FILE] = files[MODEL_FILE][:-1] + b"!"
    for name, data in files.items():
        store.put(layout.version_file(pipeline, version, name), data)
    manifest = Manifest(
        pipeline=pipeline,
        version=version,
        task=signature.task,
        created_at=datetime.now(UTC),
        fence=0,
        files=entries,
        lineage=LINEAGE,
        runtime=RUNTIME,
        metrics=dict(metrics or {}),
    )
    store.put_json(layout.manifest(pipeline, version), manifest)
