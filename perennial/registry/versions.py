"""``versions/<id>/``: immutable, whole or not there at all.

A version's files are written first and its manifest last; without a manifest there is no version.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from perennial.errors import ModelError, NotFound, SpecError
from perennial.packaging.signature import Signature
from perennial.registry.manifest import (
    BASE_FILES,
    MODEL_FILE,
    SIGNATURE_FILE,
    FileEntry,
    M,
    Manifest,
    RefusedCandidate,
    parse_manifest,
)
from perennial.registry.state import read_state
from perennial.spec import BaseName
from perennial.store import Store, layout
from perennial.store.lease import Lease

ALIASES = ("champion", "challenger", "previous")
"""Names under which outside tools find a version; state.json says which one."""


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
    key = layout.manifest(manifest.pipeline, manifest.version)
    store.put_json(key, _signed(store, manifest), if_absent=True)


def refuse(store: Store, lease: Lease, candidate: RefusedCandidate) -> None:
    """Keep a candidate that its gate refused, with its reasons, beside the versions.

    Raises:
        LeaseLost: somebody else holds the lease by now.
    """
    lease.renew()
    store.put_json(layout.refused(candidate.pipeline, candidate.version), _signed(store, candidate))


def _signed(store: Store, manifest: Manifest) -> Manifest:
    signature = store.keys.sign(manifest.content_sha256.encode())
    return manifest.model_copy(update={"signature": signature})


def read_manifest(store: Store, pipeline: str, version: str) -> Manifest:
    """Read a version's manifest.

    Raises:
        NotFound: there is no such version.
        ModelError: it was altered or damaged, or is not signed by a key that is trusted here.
    """
    key = layout.manifest(pipeline, version)
    return _verified(store, parse_manifest(Manifest, store.get(key).data, key), pipeline, version)


def _verified(store: Store, manifest: M, pipeline: str, version: str) -> M:
    """See that a manifest is trusted, and that it is of what was asked for: another one's, put in
    its place, is signed as well."""
    where = f"version {version} of {pipeline}"
    store.keys.verify(manifest.content_sha256.encode(), manifest.signature, where)
    if (manifest.pipeline, manifest.version) != (pipeline, version):
        raise ModelError(
            f"{where}: what lies there says that it is {manifest.version} of {manifest.pipeline}; "
            "it was put there by somebody else"
        )
    return manifest


def find_version(store: Store, pipeline: str, name: str) -> Manifest:
    """Read what a name stands for: a version, the start of one's name, or one of `ALIASES`.

    Refused candidates that are still kept can be named too.

    Raises:
        SpecError: it stands for none, or for several.
        ModelError: as `read_manifest`.
    """
    if name in ALIASES:
        found: str | None = getattr(read_state(store, pipeline).state, name)
        if found is None:
            raise SpecError(f"{pipeline} has no {name} now: see 'perennial versions {pipeline}'")
        return read_manifest(store, pipeline, found)
    version = full_name(pipeline, name, _names(store, pipeline))
    try:
        return read_manifest(store, pipeline, version)
    except NotFound:
        refused = find_refused(store, pipeline, version)
    if refused is None:
        raise SpecError(f"{version} of {pipeline} was never finished: it has no manifest")
    return refused


def full_name(pipeline: str, name: str, known: Sequence[str]) -> str:
    """Complete the start of a version's name.

    Args:
        known: names of all that may be meant.

    Raises:
        SpecError: none starts so, or several do.
    """
    if name in known:
        return name
    found = [version for version in known if name and version.startswith(name)]
    if len(found) != 1:
        listed = ", ".join(found or known) or "none"
        problem = "several versions start with" if found else "there is no version"
        raise SpecError(f"{pipeline}: {problem} {name!r}; known: {listed}")
    return found[0]


def find_refused(store: Store, pipeline: str, version: str) -> RefusedCandidate | None:
    """Read why a candidate was refused; None where it was not, or is not kept any more.

    Raises:
        ModelError: as `read_manifest`.
    """
    key = layout.refused(pipeline, version)
    found = store.find(key)
    if found is None:
        return None
    return _verified(store, parse_manifest(RefusedCandidate, found.data, key), pipeline, version)


def read_base(store: Store, manifest: Manifest, name: BaseName = "first") -> bytes:
    """Read a trained graph of a version that `bases_of` found.

    Raises:
        ModelError: the file was altered.
    """
    return read_file(store, manifest, BASE_FILES.get(name, MODEL_FILE))


def base_of(store: Store, manifest: Manifest) -> Manifest:
    """Find the version that a version's mixture began with: itself where it begins one.

    Raises:
        NotFound: it is not in the store any more.
    """
    name = manifest.lineage.bases.get("first")
    return manifest if name is None else read_manifest(store, manifest.pipeline, name)


def bases_of(store: Store, manifest: Manifest) -> dict[BaseName, Manifest]:
    """Find the versions that trained the graphs which stand in a version, itself among them.

    Raises:
        NotFound: one is not in the store any more.
    """
    found: dict[BaseName, Manifest] = {"first": base_of(store, manifest)}
    for name, file in BASE_FILES.items():
        other = manifest.lineage.bases.get(name)
        if other is not None:
            found[name] = read_manifest(store, manifest.pipeline, other)
        elif file in manifest.files:
            found[name] = manifest
    return found


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


def version_names(store: Store, pipeline: str) -> list[str]:
    """Name all versions, the oldest first, without reading what a damaged one says."""
    prefix = layout.versions(pipeline)
    keys = (info.key.removeprefix(prefix).split("/") for info in store.scan(prefix))
    return sorted(key[0] for key in keys if key[1:] == ["manifest.json"])


def list_versions(store: Store, pipeline: str) -> list[Manifest]:
    """Read the manifests of all versions, the oldest first.

    Raises:
        ModelError: as `read_manifest`.
    """
    manifests = []
    for name in version_names(store, pipeline):
        try:
            manifests.append(read_manifest(store, pipeline, name))
        except NotFound:  # a sweep removed it since
            continue
    return manifests


def list_refused(store: Store, pipeline: str) -> list[RefusedCandidate]:
    """Read all refused candidates that are kept, the oldest first."""
    found = (find_refused(store, pipeline, name) for name in _names(store, pipeline))
    return [candidate for candidate in found if candidate is not None]


def _names(store: Store, pipeline: str) -> list[str]:
    """Names under ``versions/``, of candidates without a manifest too, in order."""
    prefix = layout.versions(pipeline)
    return sorted({info.key.removeprefix(prefix).split("/")[0] for info in store.scan(prefix)})
