"""The suite in force: what the last training learned, and a person's changes over it.

The learned suite lies in the store. ``expectations.json`` beside pipeline.yaml is a person's: it is
read and never written by the loop, and the store keeps a copy of it for who cannot see the folder.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from perennial.errors import ValidationFailed
from perennial.registry import Declaration
from perennial.store import Store, layout
from perennial.validation.check import check_suite
from perennial.validation.edits import merge
from perennial.validation.rules import read_rules

EXPECTATIONS_FILE = "expectations.json"


def find_suite(store: Store, declaration: Declaration) -> dict[str, Any] | None:
    """Read the suite in force; None where nothing is learned yet and nobody has written one.

    Raises:
        ValidationFailed: a person's file is no JSON or no suite; names the file and the place.
    """
    return _together(find_edits(store, declaration), _learned_of_used(store, declaration))


def need_suite(store: Store, declaration: Declaration) -> dict[str, Any]:
    """Read the suite in force.

    Raises:
        ValidationFailed: as `find_suite`, or there is none.
    """
    suite = find_suite(store, declaration)
    if suite is None:
        raise ValidationFailed(
            f"{declaration.spec.name} has no expectations yet: its first retrain learns them"
        )
    return suite


def find_sound_suite(
    store: Store, declaration: Declaration
) -> tuple[dict[str, Any] | None, str | None]:
    """Read the suite in force for a run that must go on whatever a person wrote.

    Returns:
        The suite, and why the file beside pipeline.yaml does not count, where it cannot be used:
        then the last one that could be is in force.
    """
    try:
        return find_suite(store, declaration), None
    except ValidationFailed as error:
        fault = str(error)
    try:
        learned = _learned_of_used(store, declaration)
    except ValidationFailed:
        return None, fault
    try:
        return _together(_kept_edits(store, declaration.spec.name), learned), fault
    except ValidationFailed:
        return learned, fault


def find_edits(store: Store, declaration: Declaration) -> dict[str, Any] | None:
    """Read what a person wrote; from the store's copy where the folder cannot be seen from here.

    Raises:
        ValidationFailed: as `find_suite`.
    """
    if declaration.path is None:
        return _kept_edits(store, declaration.spec.name)
    file = declaration.path / EXPECTATIONS_FILE
    data = _read(file)
    return None if data is None else parse_suite(data, str(file))


def _learned_of_used(store: Store, declaration: Declaration) -> dict[str, Any] | None:
    """What was learned of columns that the declaration still uses: one that was put under
    ``ignore`` since is not missed."""
    learned = find_learned(store, declaration.spec.name)
    if learned is None:
        return None
    unused = set(declaration.spec.ignore)
    kept = [r.model_dump() for r in read_rules(learned) if unused.isdisjoint(r.columns)]
    return {**learned, "expectations": kept}


def find_learned(store: Store, pipeline: str) -> dict[str, Any] | None:
    """Read what the last training learned."""
    key = layout.expectations(pipeline)
    found = store.find(key)
    return None if found is None else parse_suite(found.data, key)


def keep_edits(store: Store, declaration: Declaration) -> None:
    """Let the store's copy follow the file, where the folder can be seen from here.

    Raises:
        ValidationFailed: as `find_suite`; the copy stays as it is then.
    """
    if declaration.path is None:
        return
    key, file = layout.edits(declaration.spec.name), declaration.path / EXPECTATIONS_FILE
    data, found = _read(file), store.find(key)
    if data is None:
        if found is not None:
            store.delete(key)
        return
    parse_suite(data, str(file))
    if found is None or found.data != data:
        store.put(key, data, content_type="application/json")


def keep_learned(store: Store, pipeline: str, suite: dict[str, Any]) -> None:
    """Write what a training learned, where it is not what was known."""
    key, data = layout.expectations(pipeline), suite_text(suite).encode()
    found = store.find(key)
    if found is None or found.data != data:
        store.put(key, data, content_type="application/json")


def suite_text(suite: dict[str, Any]) -> str:
    """A suite as JSON for people to edit."""
    return json.dumps(suite, indent=2) + "\n"


def parse_suite(data: bytes, where: str) -> dict[str, Any]:
    """Read a suite's JSON and check it; ``where`` names it in errors.

    Raises:
        ValidationFailed: it is no JSON, or no suite; names the place.
    """
    try:
        suite = json.loads(data)
    except UnicodeDecodeError as error:
        raise ValidationFailed(f"{where} is no JSON: byte {error.start} is no UTF-8") from None
    except ValueError as error:
        raise ValidationFailed(f"{where} is no JSON: {error}") from None
    except RecursionError:
        raise ValidationFailed(f"{where} is no suite: it is nested too deep") from None
    check_suite(suite, where)
    checked: dict[str, Any] = suite
    return checked


def _together(
    edits: dict[str, Any] | None, learned: dict[str, Any] | None
) -> dict[str, Any] | None:
    return edits if learned is None else merge(edits, learned)


def _kept_edits(store: Store, pipeline: str) -> dict[str, Any] | None:
    key = layout.edits(pipeline)
    found = store.find(key)
    return None if found is None else parse_suite(found.data, key)


def _read(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ValidationFailed(f"{file} cannot be read: {error.strerror}") from None
