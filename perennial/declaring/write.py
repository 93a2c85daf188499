"""Write what was guessed as a pipeline.yaml with the reasons as comments."""

from __future__ import annotations

from collections.abc import Iterator

import yaml

from perennial.declaring.verdict import Look
from perennial.spec import Task
from perennial.spec.names import ALLOWED_METRICS, DEFAULT_METRIC

_COMMENT_AT = 34


def write_declaration(name: str, look: Look, *, uri: str, how: str) -> str:
    """The text of a pipeline.yaml.

    Args:
        uri: address of the data as seen from the file's folder.
        how: in words, how the data are to be read where that is not usual.
    """
    lines = [
        f"# {look.rows:,} rows, {len(look.columns)} columns. 'perennial init' guessed what stands "
        "here; mend what",
        "# is wrong. Every key that is left out has its default.",
        *(f"# {note}." for note in look.notes),
        f"name: {name}",
        _with(f"task: {look.task}", look.why_task),
        _with(f"source: {{uri: {_quote(uri)}}}", how or "as seen from this file"),
        f"target: {_quote(look.target)}",
        *_time(look),
        *_ignore(look),
        _metric(look.task),
        "# labels: {delay: 7d}             # how late the truth comes: a table cannot tell",
        "monitor:",
        _with(f"  schedule: {_quote(look.pace.schedule)}", look.pace.why_schedule),
        _with(f"  window: {look.pace.window} rows", look.pace.why_window),
        *_rollout(look),
    ]
    return "\n".join(lines) + "\n"


def _metric(task: Task) -> str:
    usual = DEFAULT_METRIC[task]
    others = [metric for metric in ALLOWED_METRICS[task] if metric != usual]
    return _with(f"metric: {usual}", f"or {', '.join(others)}")


def _time(look: Look) -> Iterator[str]:
    if look.time is None or look.time_format is None:
        return
    why = next(sight.why for sight in look.columns if sight.name == look.time)
    yield _with(f"time: {_quote(look.time)}", why)
    yield _with(f"time_format: {_quote(look.time_format)}", "so are all its values written")
    yield _with("timezone: UTC", "of times without an offset; or such as Europe/Berlin")


def _ignore(look: Look) -> Iterator[str]:
    ignored = look.of_role("ignored")
    if ignored:
        yield "ignore:"
        yield from (_with(f"  - {_quote(sight.name)}", sight.why) for sight in ignored)
    suspected = look.of_role("suspected")
    if not suspected:
        return
    yield "# The gate refuses a model with these. Ignore them, or, where a value is known before"
    yield "# the truth is, allow them."
    mark = "# " if ignored else "#   "
    if not ignored:
        yield "# ignore:"
    yield from (_with(f"{mark} - {_quote(sight.name)}", sight.why) for sight in suspected)
    allowed = ", ".join(_quote(sight.name) for sight in suspected)
    yield f"# gates: {{allow_leakage: [{allowed}]}}"


def _rollout(look: Look) -> Iterator[str]:
    if not look.pace.rollout:
        return
    yield _with("rollout:", look.pace.why_rollout)
    for key, value in look.pace.rollout.items():
        yield f"  {key}: {_quote(value)}"


def _with(line: str, comment: str) -> str:
    return f"{line:{_COMMENT_AT - 2}}  # {comment}" if comment else line


def _quote(value: object) -> str:
    """YAML of one line that comes back as this very value."""
    text = yaml.safe_dump(
        value, default_flow_style=True, width=10_000, allow_unicode=True, sort_keys=False
    )
    return text.splitlines()[0]
