"""Who plays for each pipeline: the joint between the mirror and the workers, on the local disk.

``DIR/models/lineup.json``                          what every worker serves, replaced as a whole
``DIR/models/<pipeline>/<version>/model.onnx``      verified copies; complete before the line-up
``DIR/models/<pipeline>/<version>/signature.json``  names them

Workers read nothing else, so a server whose store is away starts with the last good line-up.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import msgspec

from perennial.errors import ModelError

MODEL = "model.onnx"
SIGNATURE = "signature.json"
_LINEUP = "lineup.json"


class Copy(msgspec.Struct, frozen=True):
    """sha256 of the files of a version."""

    model: str
    signature: str

    @classmethod
    def of(cls, model: bytes, signature: bytes) -> Copy:
        """Of these bytes."""
        return cls(hashlib.sha256(model).hexdigest(), hashlib.sha256(signature).hexdigest())


class Placement(msgspec.Struct, frozen=True, kw_only=True):
    """One pipeline: the versions that are to be loaded, and those that were refused."""

    revision: int
    """Of the state.json that this follows."""
    stage: str
    """As in state.json: idle, registered, shadow, canary or bake."""
    weight: float
    """Share of the requests that the challenger answers."""
    champion: str | None
    challenger: str | None = None
    previous: str | None = None
    """Kept warm while its successor bakes."""
    refused: dict[str, str] = {}
    """Versions that the state names and that cannot be served, with the reason."""
    copies: dict[str, Copy] = {}
    """What the copies of its versions are made of, as their manifests say."""

    @property
    def versions(self) -> tuple[str, ...]:
        """Every version that a worker holds in memory."""
        named = (self.champion, self.challenger, self.previous)
        return tuple(dict.fromkeys(version for version in named if version is not None))


class Lineup(msgspec.Struct, frozen=True):
    """All pipelines by name."""

    pipelines: dict[str, Placement] = {}
    reported: list[tuple[str, str]] = []
    """Pipeline and version of the refusals that stand in the history already."""
    format: int = 1


class LocalModels:
    """The folder ``DIR/models``."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.lineup_file = directory / _LINEUP

    def read_lineup(self) -> Lineup | None:
        """Read the line-up; None where none was ever written."""
        try:
            return msgspec.json.decode(self.lineup_file.read_bytes(), type=Lineup)
        except FileNotFoundError:
            return None

    def write_lineup(self, lineup: Lineup) -> None:
        """Replace the line-up, whole or not at all."""
        replace_file(self.lineup_file, msgspec.json.encode(lineup))

    def has(self, pipeline: str, version: str) -> bool:
        """Tell whether a version was verified and copied."""
        return (self._folder(pipeline, version) / MODEL).exists()

    def add(self, pipeline: str, version: str, model: bytes, signature: bytes) -> None:
        """Copy a verified version; the model comes last and says that the copy is whole."""
        folder = self._folder(pipeline, version)
        replace_file(folder / SIGNATURE, signature)
        replace_file(folder / MODEL, model)

    def read(self, pipeline: str, version: str, wanted: Copy | None = None) -> tuple[bytes, bytes]:
        """Give the bytes of a version's model and signature.

        Args:
            wanted: what they are held against; None: nothing is known of them.

        Raises:
            ModelError: they are others.
        """
        folder = self._folder(pipeline, version)
        model, signature = (folder / MODEL).read_bytes(), (folder / SIGNATURE).read_bytes()
        if wanted is not None and Copy.of(model, signature) != wanted:
            raise ModelError(
                f"the copy of version {version} of {pipeline} in {folder} was altered or damaged"
            )
        return model, signature

    def remove_unused(self, lineup: Lineup, older_than: float) -> None:
        """Remove the copies that the line-up does not name and that were made before a time.

        Args:
            older_than: seconds since the epoch. Workers may be about to load a younger one.
        """
        for model in self._directory.glob(f"*/*/{MODEL}"):
            pipeline, version = model.parts[-3:-1]
            placement = lineup.pipelines.get(pipeline)
            used = placement is not None and version in placement.versions
            if not used and model.stat().st_mtime < older_than:
                model.unlink()
                (model.parent / SIGNATURE).unlink()
                model.parent.rmdir()

    def _folder(self, pipeline: str, version: str) -> Path:
        return self._directory / pipeline / version


def replace_file(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Write a file so that readers see all or nothing; durable: also after a loss of power."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:  # a full disk is not to be filled with halves
        temporary.unlink(missing_ok=True)
        raise
