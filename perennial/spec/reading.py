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

_LONGEST = 60
_NUMBER = "write a number"
_MAPPING = "write a mapping of keys, such as {key: value}"
_NAME = (
    "write lower-case letters, digits, dashes and underscores, 63 at most, the first and the last "
    "one a letter or a digit"
)


_WANTED: Mapping[str, str] = {
    **dict.fromkeys(("tuple_type", "list_type"), "write a list, such as [a, b]"),
    **dict.fromkeys(("model_type", "model_attributes_type", "dict_type"), _MAPPING),
    **dict.fromkeys(("string_type", "string_sub_type"), "write text, in quotes"),
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "write a whole number"),
    **dict.fromkeys(("float_type", "float_parsing", "finite_number"), _NUMBER),
    **dict.fromkeys(("bool_type", "bool_parsing"), "write true or false"),
    "too_short": "write a list of one or more",
    "string_too_short": "write one character or more",
    "invalid_key": "write text as a key",
}
"""What may stand in the place of a value of the wrong kind, by pydantic's name for the fault."""


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
        found = "nothing" if data is None else _shown(data)
        raise SpecError(f"{origin}: {found} stood there; write a mapping of keys")
    try:
        return PipelineSpec.model_validate(data)
    except ValidationError as error:
        faults = "; ".join(_explain(fault) for fault in error.errors() if not _is_echo(fault))
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
    message = _WANTED.get(kind, str(fault["msg"]))
    if kind == "string_pattern_mismatch" and path == "name":
        message = _NAME
    message = message.removeprefix("Value error, ")
    message = message.replace("Input should be", "write" if kind == "literal_error" else _NUMBER)
    message = message[0].lower() + message[1:]
    if not path:
        return message
    if isinstance(found, Mapping) and kind == "value_error":
        return f"{path}.{message}"
    return f"{path}: {_shown(found)} stood there; {message}"


def _is_echo(fault: Any) -> bool:
    """Whether it only says that a list is short of the element which another fault is about."""
    return fault["type"] == "too_short" and bool(fault.get("input"))


def _shown(found: object) -> str:
    """A value as YAML has it, in one short line."""
    if isinstance(found, str):
        return repr(found)
    text = yaml.safe_dump(found, default_flow_style=True, allow_unicode=True, width=1_000_000)
    line = _one_line(text.removesuffix("...\n"))
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…"


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
