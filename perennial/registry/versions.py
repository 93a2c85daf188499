"""``versions/<id>/``: immutable, whole or not there at all.

A version's files are written first and its manifest last; without a manifest there is no version.
"""

from __future__ import annotations

import hashlib
from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from perennial.errors import ModelError, NotFound
from perennial.packaging.signature import Signature
from perennial.spec import Cure, Task
from perennial.store import Store, layout
from perennial.store.lease import Lease

MODEL_FILE = "model.onnx"
SIGNATURE_FILE = "signature.json"
METRICS_FILE = "metrics.json"
REFERENCE_FILE = "reference.parquet"
GATE_FILE = "gate.json"


class FileEntry(BaseModel):
    """A file of a version: sha256 of its bytes, and how many there are."""

    model_config = ConfigDict(frozen=True)

    sha256: str
    size: int


class Lineage(BaseModel):
    """Where a version came from."""

    model_config = ConfigDict(frozen=True)

    snapshot: str
    """sha256 of the training data."""
    spec: str
    """sha256 of the declaration."""
    code: str
    """Version of Perennial that trained it."""
    environment: dict[str, str]
    """Releases of the libraries that shape the model."""
    seed: int
    parent: str | None
    """The champion that it was held against."""
    reason: str
    cause: str | None
    """Key of the check that asked for it."""
    run: str
    """The flow run that made it."""
    estimator: str
    depth: Cure = "retrain"
    """unhead: a base without the head that it had."""
    base: str | None = None
    """The version whose graph stands in this one, under its head or alone; None: its own. A base
    has none itself, so that there is never more than one head on it."""


class Manifest(BaseModel):
    """``manifest.json``: written last."""

    model_config = ConfigDict(frozen=True)

    format: Literal[1] = 1
    pipeline: str
    version: str
    task: Task
    created_at: AwareDatetime
    fence: int
    """Lease token under which it was registered."""
    files: dict[str, FileEntry]
    lineage: Lineage
    metrics: dict[str, Any] = Field(default_factory=dict)


def next_version(store: Store, pipeline: str, model: bytes) -> str:
    """Name the version that follows those in the store: a number and the model's fingerprint."""
    numbers = [int(name.split("-")[0]) for name in _names(store, pipeline)]
    return f"{max(numbers, default=0) + 1:04d}-{hashlib.sha256(model).hexdigest()[:8]}"


def write_file(store: Store, pipeline: str, version: str, name: str, data: bytes) -> FileEntry:
    """Write one file of a version to be; nobody sees it before its manifest is there."""
    store.put(layout.version_file(pipeline, version, name), data)
    return FileEntry(sha256=hashlib.sha256(data).hexdigest(), size=len(data))


def register(store: Store, lease: Lease, manifest: Manifest) -> None:
    """Make a version whose files are written: its manifest goes out last.

    The lease is renewed (by compare-and-swap) right before, so that a run which lost it leaves
    files behind but no version.

    Raises:
        LeaseLost: somebody else holds the lease by now.
        Conflict: a version of this name is there already.
    """
    lease.renew()
    store.put_json(layout.manifest(manifest.pipeline, manifest.version), manifest, if_absent=True)


def read_manifest(store: Store, pipeline: str, version: str) -> Manifest:
    """Read a version's manifest.

    Raises:
        NotFound: there is no such version.
    """
    return Manifest.model_validate_json(store.get(layout.manifest(pipeline, version)).data)


def base_of(store: Store, manifest: Manifest) -> Manifest:
    """Find the trained version that a version's head sits on: itself where it has no other.

    Raises:
        NotFound: it is not in the store any more.
    """
    if manifest.lineage.base is None:
        return manifest
    return read_manifest(store, manifest.pipeline, manifest.lineage.base)


def read_file(store: Store, manifest: Manifest, name: str) -> bytes:
    """Read one file of a version and hold it against its sha256.

    Raises:
        ModelError: the version has no such file, or it was altered.
    """
    entry = manifest.files.get(name)
    if entry is None:
        raise ModelError(f"version {manifest.version} of {manifest.pipeline} has no {name}")
    try:
        data = store.get(layout.version_file(manifest.pipeline, manifest.version, name)).data
    except NotFound:
        raise ModelError(
            f"{name} of version {manifest.version} of {manifest.pipeline} is missing in the store"
        ) from None
    if hashlib.sha256(data).hexdigest() != entry.sha256:
        raise ModelError(
            f"{name} of version {manifest.version} of {manifest.pipeline} is not what its "
            "manifest says (sha256 differs): it was altered or damaged"
        )
    return data


def read_signature(store: Store, manifest: Manifest) -> Signature:
    """Read what a version takes and gives.

    Raises:
        ModelError: as `read_file`.
    """
    return Signature.model_validate_json(read_file(store, manifest, SIGNATURE_FILE))


def list_versions(store: Store, pipeline: str) -> list[Manifest]:
    """Read the manifests of all versions, the oldest first."""
    manifests = []
    for name in _names(store, pipeline):
        found = store.find(layout.manifest(pipeline, name))
        if found is not None:
            manifests.append(Manifest.model_validate_json(found.data))
    return manifests


def _names(store: Store, pipeline: str) -> list[str]:
    """Names under ``versions/``, of candidates without a manifest too, in order."""
    prefix = layout.versions(pipeline)
    return sorted({info.key.removeprefix(prefix).split("/")[0] for info in store.scan(prefix)})
