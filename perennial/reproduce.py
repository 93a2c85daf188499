"""Train a version again from its lineage alone, and see whether the same bytes come out."""

from __future__ import annotations

import hashlib
import time

import pandas as pd
from pydantic import BaseModel, ConfigDict

from perennial.datasets.snapshot import find_snapshot, load_snapshot
from perennial.errors import ModelError, NotFound, StoreError
from perennial.loop.candidate import make_again
from perennial.packaging.predictor import Packaged
from perennial.registry import (
    Environment,
    Manifest,
    bases_of,
    describe_environment,
    read_base,
    read_file,
    read_signature,
)
from perennial.registry.environment import source_sha256
from perennial.registry.manifest import ENVIRONMENT_FILE, MODEL_FILE, SPEC_FILE
from perennial.spec import BaseName, PipelineSpec
from perennial.store import Store


class Difference(BaseModel):
    """An input of the training that is not what it was."""

    model_config = ConfigDict(frozen=True)

    input: str
    """snapshot, spec, code, or environment and what of it."""
    then: str
    now: str

    def __str__(self) -> str:
        return f"{self.input}: {self.then} then, {self.now} now"


class Reproduction(BaseModel):
    """What came of it."""

    model_config = ConfigDict(frozen=True)

    pipeline: str
    version: str
    identical: bool
    """Whether model.onnx is the same, byte by byte."""
    sha256: str
    """Of the version's model.onnx, by its manifest."""
    again: str | None
    """Of the one that was trained now; None: an input is missing, none was trained."""
    differences: tuple[Difference, ...]
    """Inputs that differ. They need not change the bytes."""
    seconds: float


def reproduce(store: Store, manifest: Manifest) -> Reproduction:
    """Train a version again: its snapshot, its spec, its seed, one thread."""
    started = time.perf_counter()
    differences = [*_code(manifest), *_environment(store, manifest)]
    again = None
    spec = _spec(store, manifest, differences)
    frame = _snapshot(store, manifest, differences)
    if spec is not None and frame is not None:
        model = make_again(frame, spec, manifest.lineage, _bases(store, manifest))
        again = hashlib.sha256(model).hexdigest()
    expected = manifest.files[MODEL_FILE].sha256
    return Reproduction(
        pipeline=manifest.pipeline,
        version=manifest.version,
        identical=again == expected,
        sha256=expected,
        again=again,
        differences=tuple(differences),
        seconds=round(time.perf_counter() - started, 3),
    )


def _bases(store: Store, manifest: Manifest) -> dict[BaseName, Packaged]:
    """The trained graphs that it has taken over; none: it begins a mixture."""
    return {
        name: Packaged(read_base(store, base, name), read_signature(store, base))
        for name, base in bases_of(store, manifest).items()
        if name in manifest.lineage.bases
    }


def _code(manifest: Manifest) -> list[Difference]:
    then, now = manifest.lineage.sources, source_sha256()
    if then is None or then == now:
        return []
    revision = manifest.lineage.revision
    told = f"{then[:12]} (commit {revision[:12]})" if revision else then[:12]
    return [Difference(input="code", then=told, now=now[:12])]


def _environment(store: Store, manifest: Manifest) -> list[Difference]:
    try:
        data = read_file(store, manifest, ENVIRONMENT_FILE)
    except ModelError as error:
        return [Difference(input="environment", then=str(error), now="unknown")]
    then = Environment.model_validate_json(data)
    return [
        Difference(input=f"environment, {name}", then=old, now=new)
        for name, (old, new) in then.differences(describe_environment()).items()
    ]


def _spec(store: Store, manifest: Manifest, told: list[Difference]) -> PipelineSpec | None:
    try:
        return PipelineSpec.model_validate_json(read_file(store, manifest, SPEC_FILE))
    except (ModelError, ValueError) as error:
        fault = " ".join(str(error).split())
        told.append(Difference(input="spec", then=manifest.lineage.spec[:12], now=fault))
        return None


def _snapshot(store: Store, manifest: Manifest, told: list[Difference]) -> pd.DataFrame | None:
    name = manifest.lineage.snapshot
    try:
        return load_snapshot(store, find_snapshot(store, manifest.pipeline, name))
    except NotFound:
        now = "not in the store any more"
    except StoreError as error:
        now = str(error)
    told.append(Difference(input="snapshot", then=name[:12], now=now))
    return None
