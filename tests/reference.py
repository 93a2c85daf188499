"""Writes docs/reference.md from the code: every key of pipeline.yaml, every variable, each default.

``python -m tests.reference`` (``make reference``) writes it; a test holds the page to the code.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from perennial.serving.options import PREFIX, ServingOptions
from perennial.settings import Settings
from perennial.spec.durations import Span, format_duration
from perennial.spec.pipeline import DEFAULT_METRIC, PipelineSpec

PAGE = Path(__file__).resolve().parents[1] / "docs" / "reference.md"
_DEFAULTS = Settings.from_env({"PERENNIAL_S3_ENDPOINT": ""})
VARIABLES = {
    "PERENNIAL_S3_ENDPOINT": ("", "The S3 server; empty for AWS itself."),
    "PERENNIAL_BUCKET": (_DEFAULTS.bucket, "The one bucket everything lies in."),
    "AWS_ACCESS_KEY_ID": ("", "Key of the store. `AWS_ACCESS_KEY_ID_FILE`: a file that holds it."),
    "AWS_SECRET_ACCESS_KEY": (
        "",
        "Its secret. `AWS_SECRET_ACCESS_KEY_FILE`: a file that holds it.",
    ),
    "AWS_REGION": (_DEFAULTS.region, "Region of the bucket."),
    "PERENNIAL_SERVER_URL": ("", "The inference server."),
    "PERENNIAL_TOKEN": ("", "The token that `predict` and `feedback` show to that server."),
    "PREFECT_API_URL": ("", "The Prefect server."),
    "PREFECT_API_AUTH_STRING": ("", "What it asks for, where it does: `user:password`."),
    "PREFECT_API_KEY": ("", "The same for a server that asks for a key; `perennial alerts` alone."),
    "PREFECT_SERVER_DATABASE_CONNECTION_URL": (
        "SQLite",
        "Where the Prefect server of `perennial up` keeps its runs.",
    ),
    "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": (
        "",
        "Seconds, 30 of them, where runs are, so that one that dies unseen is found; `perennial "
        "up` sets it.",
    ),
    "PERENNIAL_PIPELINES": (
        "`data` in the current folder, then `data` beside the code",
        "Folders in which a pipeline is looked for by name, joined by `:`.",
    ),
    "PERENNIAL_TRUSTED_FOLDERS": (
        "",
        "Folders, joined by `:`, below which a pipeline.yaml is read also where only the store "
        "says where it lies.",
    ),
    "PERENNIAL_NOTIFY": (
        "",
        "Who is told of drifts, held data, promotions, rollbacks, failed retrains: Apprise "
        "addresses (`mailto://...`, `slack://...`), joined by spaces. "
        "`PERENNIAL_NOTIFY_FILE`: a file that holds them.",
    ),
    "PERENNIAL_SIGNING_KEY": ("", "File of the private key with which flows sign (Ed25519, PEM)."),
    "PERENNIAL_TRUSTED_KEYS": (
        "",
        "Files of public keys, joined by `:`; with one, whatever reads a version refuses what none "
        "of them signed.",
    ),
    "PERENNIAL_WORK_POOL": ("", "Prefect's work pool that `prefect deploy` deploys to."),
    "PERENNIAL_TOKENS_FILE": ("", "File of the tokens that the inference server asks for."),
    "PERENNIAL_TOKENS": ("", "The same, itself."),
    "PERENNIAL_ALERTS_TOKEN_FILE": ("", "File of the token that `perennial alerts` asks for."),
    "PERENNIAL_ALERTS_TOKEN": ("", "The same, itself."),
    "PERENNIAL_ALERTS_RULES": ("", "File of rules: which alert asks for what."),
    "PERENNIAL_ALERTS_URL": (
        "",
        "Written by `perennial up` into `.perennial/stack.env` for you: where alerts are taken.",
    ),
}
"""Name: default and meaning. The variables of `perennial serve` follow from its options."""
OWN = {
    "PERENNIAL_STACK_ID": "marks the processes of a stack",
    "PERENNIAL_CLOCK_OFFSET": "moves a process's clock in tests/faults",
    "PERENNIAL_NOTIFY_FILE": "in the line of its secret",
}
"""Variables that nobody sets, or that stand in another one's line."""
HEAD = """# Reference

Written by `make reference` from the code; a test holds it to that.

"""


def render() -> str:
    """The whole page."""
    keys = [_row(f"`{path}`", *rest) for path, *rest in keys_of(PipelineSpec)]
    variables = [_row(f"`{name}`", _code(d), text) for name, (d, text) in VARIABLES.items()]
    options = [_row(f"`{name}`", _code(d), text) for name, d, text in options_of(ServingOptions)]
    return HEAD + "\n".join(
        (
            "## Keys of pipeline.yaml\n",
            "Durations are written `90s`, `10m`, `1h`, `7d`; sizes of windows and delays are such "
            "a duration or rows (`278 rows`).\n",
            *_table("key", "what it takes", "default", "what it says", rows=keys),
            "\n## Variables\n",
            *_table("variable", "default", "what it says", rows=variables),
            "\n## Variables of perennial serve\n",
            "Sizes in bytes, times in seconds.\n",
            *_table("variable", "default", "what it says", rows=options),
            "",
        )
    )


def keys_of(model: type[BaseModel], path: str = "") -> Iterator[tuple[str, str, str, str]]:
    """Path, type, default and description of each leaf below a model, in the order of the code."""
    for name, field in model.model_fields.items():
        section = _section(field.annotation)
        if section is None:
            yield path + name, _type(field.annotation), _default(field), field.description or ""
            continue
        if NoneType in get_args(field.annotation):
            text = field.description or "`null` leaves it out."
            yield path + name, f"{_title(section)} or null", "as below", text
        yield from keys_of(section, f"{path}{name}.")


def options_of(options: type[msgspec.Struct]) -> Iterator[tuple[str, object, str]]:
    """Variable, default and docstring of each option."""
    body = ast.parse(textwrap.dedent(inspect.getsource(options))).body[0]
    assert isinstance(body, ast.ClassDef)
    for field, text in zip(body.body, body.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr):
            name = ast.unparse(field.target)
            said = ast.literal_eval(text.value)
            default = {f.name: f.default for f in msgspec.structs.fields(options)}[name]
            yield PREFIX + name.upper(), default, " ".join(said.split())


def _section(annotation: Any) -> type[BaseModel] | None:
    for found in (annotation, *get_args(annotation)):
        if inspect.isclass(found) and issubclass(found, BaseModel) and found is not Span:
            return found
    return None


def _title(section: type[BaseModel]) -> str:
    return section.__name__.lower()


_WORDS = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "true or false",
    NoneType: "null",
    timedelta: "duration",
    Span: "rows or duration",
}


def _type(annotation: Any) -> str:
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type(inner[0])
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in inner)
    if origin in (Union, UnionType):
        return " or ".join(_type(part) for part in inner)
    if origin is tuple:
        return f"list of {_type(inner[0])}"
    return _WORDS[annotation]


def _default(field: FieldInfo) -> str:
    if field.is_required() or field.default is PydanticUndefined:
        return "has to be there"
    if field is PipelineSpec.model_fields["metric"]:
        return ", ".join(f"{task}: `{metric}`" for task, metric in DEFAULT_METRIC.items())
    if field.default is None:
        return "left out"
    return _code(field.default)


def _code(value: object) -> str:
    if isinstance(value, timedelta):
        value = format_duration(value)
    if isinstance(value, tuple):
        value = f"[{', '.join(map(str, value))}]"
    if isinstance(value, bool):
        value = str(value).lower()
    shown = str(value)
    return shown if not shown or "`" in shown else f"`{shown}`"


def _table(*heads: str, rows: list[str]) -> Iterator[str]:
    yield _row(*heads)
    yield _row(*["---"] * len(heads))
    yield from rows


def _row(*cells: str) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
    print(f"written: {PAGE}")
