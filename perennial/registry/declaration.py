"""``pipeline.json``: the declaration in force, so that a worker anywhere finds it by name."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from perennial.errors import SpecError
from perennial.spec import PipelineSpec, load_spec
from perennial.store import Store, layout


class Declaration(BaseModel):
    """A spec and the folder it came from."""

    model_config = ConfigDict(frozen=True)

    format: Literal[1] = 1
    spec: PipelineSpec
    folder: str | None = None
    """Absolute path of the folder that holds pipeline.yaml; None: the store holds the only copy."""
    demo: bool = False
    """Made by ``perennial demo``, which may wipe it and begin anew."""

    @property
    def sha256(self) -> str:
        """Fingerprint of the spec."""
        return hashlib.sha256(self.spec.model_dump_json().encode()).hexdigest()

    @property
    def path(self) -> Path | None:
        """The folder, where it can be seen from here."""
        path = Path(self.folder) if self.folder is not None else None
        return path if path is not None and path.is_dir() else None


def declare(store: Store, folder: Path, *, demo: bool = False) -> Declaration:
    """Read ``folder``'s pipeline.yaml and put it in force.

    Raises:
        SpecError: as `perennial.spec.load_spec`.
    """
    spec = load_spec(folder)
    home = folder if folder.is_dir() else folder.parent
    declaration = Declaration(spec=spec, folder=str(home.resolve()), demo=demo)
    key = layout.declaration(spec.name)
    data = (declaration.model_dump_json(indent=2) + "\n").encode()
    found = store.find(key)
    if found is None or found.data != data:
        store.put(key, data, content_type="application/json")
    return declaration


def find_declaration(store: Store, name: str) -> Declaration | None:
    """Read the declaration in force, or None where the store knows no such pipeline."""
    found = store.find(layout.declaration(name))
    return None if found is None else Declaration.model_validate_json(found.data)


def resolve(store: Store, pipeline: str, folders: Iterable[Path]) -> Declaration:
    """Find a pipeline by its name or folder and bring the store's copy up to date.

    A name is looked up in the store first, then as ``FOLDER/NAME/pipeline.yaml``. Where the folder
    can be seen from here its pipeline.yaml is read again, so that an edit holds from the next run.

    Raises:
        SpecError: there is no such pipeline, or its pipeline.yaml may not stand as it does.
    """
    if "/" in pipeline or Path(pipeline, "pipeline.yaml").is_file():
        return declare(store, Path(pipeline))
    known = find_declaration(store, pipeline)
    if known is not None:
        if known.path is None or not (known.path / "pipeline.yaml").is_file():
            return known
        return declare(store, known.path, demo=known.demo)
    searched = list(folders)
    for folder in searched:
        if (folder / pipeline / "pipeline.yaml").is_file():
            return declare(store, folder / pipeline)
    places = ", ".join(str(folder) for folder in searched)
    raise SpecError(
        f"there is no pipeline {pipeline!r}, neither in the store nor in {places or 'any folder'}; "
        "'perennial init' makes one"
    )


def known_pipelines(store: Store) -> list[str]:
    """Names of all pipelines that are declared in the store, sorted."""
    return [
        name
        for name in sorted(store.folders())
        if not name.startswith(".") and store.find(layout.declaration(name)) is not None
    ]
