"""A version's files in a folder, each held against the manifest, for whoever works outside."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from perennial.errors import ModelError, PerennialError, SpecError
from perennial.packaging.parity import check_parity
from perennial.packaging.predictor import encode_frame
from perennial.registry import Environment, Manifest, base_of, read_base, read_file, read_signature
from perennial.registry.manifest import (
    ENVIRONMENT_FILE,
    MODEL_FILE,
    PAGE_FILE,
    REFERENCE_FILE,
    SIGNATURE_FILE,
    SOURCE_STEM,
)
from perennial.store import Store
from perennial.training.source import load_source
from perennial.writable import check_folder

REQUIREMENTS_FILE = "requirements.txt"


@dataclass(frozen=True)
class Source:
    """The trained model as its library has it."""

    name: str
    files: dict[str, bytes]
    """It, and ``requirements.txt``: the releases that wrote it, for pip."""
    of: str
    """The version that trained it: another one where this one's mixture began with that model."""
    has_others: bool
    """Whether model.onnx has members that the source lacks."""
    rows: int
    """On which it was seen to answer as its graph does."""


def read_export(store: Store, manifest: Manifest) -> dict[str, bytes]:
    """Read graph, signature and page of a version.

    Raises:
        ModelError: one of them is missing, or not what the manifest says.
    """
    wanted = [MODEL_FILE, SIGNATURE_FILE, *({PAGE_FILE} & manifest.files.keys())]
    return {name: read_file(store, manifest, name) for name in wanted}


def read_source(store: Store, manifest: Manifest) -> Source:
    """Read the source model, load it, and see that it answers as the trained graph does.

    Raises:
        SpecError: the version has none.
        ModelError: it is not what the manifest says, names what is not to be loaded, or answers
            otherwise.
    """
    base = base_of(store, manifest)
    name = next((name for name in base.files if name.startswith(f"{SOURCE_STEM}.")), None)
    if name is None:
        raise SpecError(
            f"version {base.version} of {base.pipeline} has no source model: Perennial "
            f"{base.lineage.code}, which made it, kept none. Export it without --source"
        )
    data = read_file(store, base, name)
    model = load_source(base.lineage.estimator, data)
    graph, signature = read_base(store, base), read_signature(store, base)
    reference = pd.read_parquet(io.BytesIO(read_file(store, base, REFERENCE_FILE)))
    parity = check_parity(graph, signature, model.predict, *encode_frame(signature, reference))
    if not parity.ok:
        raise ModelError(
            f"{name} of version {base.version} of {base.pipeline} does not answer as its graph: "
            f"{parity.share_off:.1%} of {parity.rows:,} rows are off, by up to {parity.max_abs:.3g}"
        )
    lock = Environment.model_validate_json(read_file(store, base, ENVIRONMENT_FILE))
    files = {name: data, REQUIREMENTS_FILE: lock.requirements().encode()}
    has_others = graph != read_file(store, manifest, MODEL_FILE)
    return Source(name, files, base.version, has_others, parity.rows)


def check_empty(folder: Path) -> None:
    """See that a folder is new or empty, and can be written.

    Raises:
        PerennialError: it is neither, or cannot.
    """
    check_folder(folder)
    if folder.is_dir() and any(folder.iterdir()):
        raise PerennialError(f"{folder} is not empty: name a new folder")


def write_folder(folder: Path, files: dict[str, bytes]) -> None:
    """Write files into a folder that is new or empty.

    Raises:
        PerennialError: it is neither, or cannot be written.
    """
    check_empty(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            (folder / name).write_bytes(data)
    except OSError as error:
        raise PerennialError(f"{folder} cannot be written: {error.strerror}") from None
