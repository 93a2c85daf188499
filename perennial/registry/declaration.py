"""``pipeline.json``: the declaration in force, so that a worker anywhere finds it by name.

What a folder in sight says comes first: the store's copy is for whoever does not see the folder.
Whoever can write to the bucket can write that copy: it names no folder that would be read, no file
and no script, and where keys are configured it counts only where a trusted one signed it.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Literal

from pydantic import PrivateAttr

from perennial.errors import Damaged, SpecError
from perennial.registry.sealed import Sealed
from perennial.spec import PipelineSpec, load_spec
from perennial.store import Store, layout, read_record


class Declaration(Sealed):
    """A spec and the folder it came from."""

    format: Literal[1] = 1
    spec: PipelineSpec
    folder: str | None = None
    """Absolute path of the folder that holds pipeline.yaml; None: the store holds the only copy."""
    demo: bool = False
    """Made by ``perennial demo``, which may wipe it and begin anew; passed over by whatever walks
    over all pipelines."""
    _from_store: bool = PrivateAttr(default=False)

    @property
    def sha256(self) -> str:
        """Fingerprint of the spec."""
        return hashlib.sha256(self.spec.model_dump_json().encode()).hexdigest()

    @property
    def path(self) -> Path | None:
        """The folder, where it can be seen from here; None where only the store names it."""
        path = Path(self.folder) if self.folder is not None else None
        return path if path is not None and not self._from_store and path.is_dir() else None

    def folder_below(self, trusted: Iterable[Path]) -> Path | None:
        """The folder that is named here, where it lies below a trusted one and declares this
        pipeline.

        Raises:
            SpecError: its pipeline.yaml may not stand as it does.
        """
        if self.folder is None:
            return None
        path = Path(self.folder).resolve()
        if not any(path.is_relative_to(root.resolve()) for root in trusted):
            return None
        if not (path / "pipeline.yaml").is_file() or load_spec(path).name != self.spec.name:
            return None
        return path


def declare(store: Store, folder: Path, *, demo: bool = False) -> Declaration:
    """Read ``folder``'s pipeline.yaml and put it in force.

    Raises:
        SpecError: as `perennial.spec.load_spec`.
    """
    spec = load_spec(folder)
    home = folder if folder.is_dir() else folder.parent
    declaration = Declaration(spec=spec, folder=str(home.resolve()), demo=demo)
    key = layout.declaration(spec.name)
    signature = store.keys.sign(declaration.content_sha256.encode())
    if not _is_in_force(store, declaration, signature):
        store.put_json(key, declaration.model_copy(update={"signature": signature}))
    return declaration


def _is_in_force(store: Store, declaration: Declaration, signature: str | None) -> bool:
    """Tell whether the store has it, signed by this process's key where it has one."""
    try:
        found = find_declaration(store, declaration.spec.name)
    except Damaged:
        return False
    if found is None or found.content_sha256 != declaration.content_sha256:
        return False
    return signature in (None, found.signature)


def find_declaration(store: Store, name: str) -> Declaration | None:
    """Read the declaration in force, or None where the store knows no such pipeline.

    Returns:
        What the store says: its `Declaration.path` is None.

    Raises:
        Damaged: it cannot be read, or is another pipeline's.
    """
    found = store.find(layout.declaration(name))
    if found is None:
        return None
    declaration = read_record(Declaration, found)
    if declaration.spec.name != name:
        raise Damaged(found.key, f"it declares another pipeline, {declaration.spec.name!r}")
    declaration._from_store = True
    return declaration


def resolve(
    store: Store, pipeline: str, folders: Iterable[Path], trusted: Iterable[Path] = ()
) -> Declaration:
    """Find a pipeline by its name or folder and bring the store's copy up to date.

    A name is looked up as ``FOLDER/NAME/pipeline.yaml``, then in the store. Where the folder that
    the store names lies below one of ``folders`` or ``trusted`` its pipeline.yaml is read again, so
    that an edit holds from the next run.

    Raises:
        SpecError: there is no such pipeline, or its pipeline.yaml may not stand as it does.
        Damaged: there is none but the store's copy, which cannot be read.
        ModelError: nor is it signed by a key that is trusted here.
    """
    if "/" in pipeline or Path(pipeline, "pipeline.yaml").is_file():
        return declare(store, Path(pipeline))
    searched = list(folders)
    for folder in searched:
        if (folder / pipeline / "pipeline.yaml").is_file():
            check_name(folder / pipeline)
            return declare(store, folder / pipeline)
    known = find_declaration(store, pipeline)
    if known is not None:
        home = known.folder_below([*searched, *trusted])
        if home is not None:
            return declare(store, home, demo=known.demo)
        store.keys.verify(
            known.content_sha256.encode(), known.signature, f"the declaration of {pipeline}"
        )
        return known
    places = ", ".join(str(folder) for folder in searched)
    raise SpecError(
        f"there is no pipeline {pipeline!r}, neither in the store nor in {places or 'any folder'}; "
        "'perennial init' makes one"
    )


def check_name(folder: Path) -> PipelineSpec:
    """Read the pipeline.yaml of a folder in which pipelines are looked for by name.

    Raises:
        SpecError: it may not stand as it does, or names another pipeline than its folder does.
    """
    spec = load_spec(folder)
    if spec.name != folder.name:
        raise SpecError(
            f"{folder / 'pipeline.yaml'}: name: {spec.name!r} stood there; a pipeline is found by "
            f"its folder's name: write name: {folder.name}, or rename the folder"
        )
    return spec


def in_sight(folders: Iterable[Path]) -> dict[str, list[Path]]:
    """Find every ``FOLDER/NAME/pipeline.yaml``, by name, whatever it says.

    Returns:
        For each name its folders: the first one counts, the others stand in its shadow.
    """
    found: dict[str, list[Path]] = {}
    for folder in folders:
        for file in sorted(folder.glob("*/pipeline.yaml")):
            found.setdefault(file.parent.name, []).append(file.parent)
    return found


def known_pipelines(store: Store, *, demos: bool = False) -> list[str]:
    """Names of the pipelines that the store knows, sorted; those, too, whose declaration there
    cannot be read.

    Args:
        demos: those of ``perennial demo`` too.
    """
    return [
        name
        for name in sorted(store.folders())
        if not name.startswith(".") and _is_known(store, name, demos=demos)
    ]


def _is_known(store: Store, name: str, *, demos: bool) -> bool:
    try:
        found = find_declaration(store, name)
    except Damaged:
        return True
    return found is not None and (demos or not found.demo)


def check_known(name: str, known: Collection[str]) -> None:
    """Refuse a name that is none of these.

    Raises:
        SpecError: it says which there are, and which one was likely meant.
    """
    if name in known:
        return
    close = difflib.get_close_matches(name, known, n=1)
    meant = f" (did you mean {close[0]!r}?)" if close else ""
    there = f"there are {', '.join(sorted(known))}" if known else "none is declared yet"
    raise SpecError(f"there is no pipeline {name!r}; {there}{meant}")
