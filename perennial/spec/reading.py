"""Reads and checks ``pipeline.yaml``: a fault says where it is, what stood there and what may."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from perennial.errors import SpecError
from perennial.spec.pipeline import PipelineSpec


def load_spec(path: Path) -> PipelineSpec:
    """Read and check a ``pipeline.yaml`` (or the folder that holds one).

    Raises:
        SpecError: not there, no YAML, or a key that may not stand as it does; one line a fault,
            each with the key's path, what stood there and what may stand there.
    """
    file = path / "pipeline.yaml" if path.is_dir() else path
    try:
        data = yaml.safe_load(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SpecError(f"{file}: there is no such file; 'perennial init' writes one") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"{file}: cannot be read: {error}") from None
    except yaml.YAMLError as error:
        raise SpecError(f"{file}: is no YAML: {_one_line(str(error))}") from None
    return parse_spec(data, origin=str(file))


def parse_spec(data: object, *, origin: str) -> PipelineSpec:
    """Check a declaration that is already a mapping; ``origin`` names it in errors.

    Raises:
        SpecError: as in `load_spec`.
    """
    if not isinstance(data, Mapping):
        raise SpecError(f"{origin}: a mapping of keys is expected, not {type(data).__name__}")
    try:
        return PipelineSpec.model_validate(data)
    except ValidationError as error:
        faults = "; ".join(_explain(fault) for fault in error.errors())
        raise SpecError(f"{origin}: {faults}") from None


def _explain(fault: Any) -> str:
    """Say one pydantic fault as: path: what stood there, what may stand there."""
    loc = tuple(part for part in fault["loc"] if part not in ("Span", "function-before"))
    path = ".".join(str(part) for part in loc)
    kind, found = fault["type"], fault.get("input")
    if kind == "missing":
        return f"{path}: is missing"
    if kind == "extra_forbidden":
        return f"{path}: unknown key{_suggestion(loc)}"
    message = str(fault["msg"]).removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    if not path:
        return message
    if isinstance(found, Mapping) and kind == "value_error":
        return f"{path}.{message}"
    return f"{path}: {found!r} stood there; {message}"


def _suggestion(loc: tuple[Any, ...]) -> str:
    model: type[BaseModel] = PipelineSpec
    for part in loc[:-1]:
        field = model.model_fields.get(str(part))
        annotation = field.annotation if field is not None else None
        sections = [
            choice
            for choice in (get_args(annotation) or (annotation,))
            if isinstance(choice, type) and issubclass(choice, BaseModel)
        ]
        if not sections:
            return ""
        model = sections[0]
    names = list(model.model_fields)
    close = difflib.get_close_matches(str(loc[-1]), names, n=1)
    if close:
        return f"; did you mean {close[0]}?"
    return f"; known here: {', '.join(names)}"


def _one_line(text: str) -> str:
    return " ".join(text.split())
