"""Look at a table that nobody has declared yet, and write its pipeline.yaml."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import yaml

from perennial.datasets.source import read_source
from perennial.errors import SourceError, SpecError
from perennial.spec import Task, parse_spec

_MANY = 0.9
"""A text column with this share of distinct values is taken for an identifier."""
_CLASSES = 20


def guess_task(target: pd.Series) -> Task:
    """Regression for numbers of many values, else binary or multiclass by the count of values.

    Raises:
        SourceError: the target has fewer than two values.
    """
    values = target.dropna()
    distinct = values.nunique()
    if distinct < 2:
        raise SourceError(f"target: {target.name!r} has only one value; there is nothing to learn")
    if distinct == 2:
        return "binary"
    if pd.api.types.is_bool_dtype(values) or not pd.api.types.is_numeric_dtype(values):
        return "multiclass"
    whole = (values.astype(float) % 1 == 0).all()
    if whole and distinct <= _CLASSES and distinct < 0.05 * len(values):
        return "multiclass"
    return "regression"


def guess_ignored(frame: pd.DataFrame, target: str, time: str | None) -> dict[str, str]:
    """Columns that should not be a feature, each with the reason."""
    ignored = {}
    for name in frame.columns:
        if name in (target, time):
            continue
        column = frame[name].dropna()
        if column.empty:
            continue
        if pd.api.types.is_datetime64_any_dtype(column):
            ignored[name] = "a time"
        elif pd.api.types.is_numeric_dtype(column):
            if _counts_rows(column):
                ignored[name] = "counts the rows"
        elif len(column) > 50 and column.nunique() > _MANY * len(column):
            ignored[name] = "a different text in almost every row"
    return ignored


def _counts_rows(column: pd.Series) -> bool:
    """A running number: whole, and one more in every row."""
    steps = column.astype(float).diff().dropna()
    return len(steps) > 20 and bool((steps == 1).all())


def guess_window(rows: int) -> int:
    """Rows a window: 50 windows behind the first fifth, or fewer of 100 rows on a short stream."""
    rest = round(rows * 0.8)
    return max(20, rest // 50, min(100, rest // 8))


def write_pipeline_yaml(
    name: str, frame: pd.DataFrame, *, uri: str, target: str, time: str | None
) -> str:
    """The text of a pipeline.yaml for a table, with what was guessed and why as comments."""
    task = guess_task(frame[target])
    ignored = guess_ignored(frame, target, time)
    lines = [
        f"# {len(frame):,} rows, {len(frame.columns)} columns. Every key left out has its default.",
        f"name: {name}",
        f"task: {task}   # regression, binary or multiclass",
        f"source: {{uri: {_quote(uri)}}}",
        f"target: {_quote(target)}",
    ]
    if time is not None:
        lines.append(f"time: {_quote(time)}")
    if ignored:
        lines.append("ignore:")
        lines += [f"  - {_quote(column)}   # {why}" for column, why in ignored.items()]
    lines.append(f"monitor: {{window: {guess_window(len(frame))} rows}}")
    return "\n".join(lines) + "\n"


def _quote(text: str) -> str:
    """A YAML scalar that comes back as this very text."""
    return str(yaml.safe_dump(text, default_flow_style=True, width=10_000)).splitlines()[0]


def init_pipeline(
    name: str, data: Path, *, target: str, time: str | None, folder: Path, force: bool = False
) -> Path:
    """Write ``folder``/pipeline.yaml for a table and return its path.

    The address of the data is written relative to the folder where it lies below it, else absolute.

    Raises:
        SpecError: the name may not be one, or a pipeline.yaml is there and ``force`` is not set.
        SourceError: the data cannot be read, or lack the columns named.
    """
    file = folder / "pipeline.yaml"
    if file.exists() and not force:
        raise SpecError(f"{file} is there already; --force replaces it")
    where = data.resolve()
    least = {"name": name, "source": {"uri": str(where)}, "target": target, "time": time}
    # The task does not matter for reading; it is guessed from what is read.
    frame = read_source(parse_spec({**least, "task": "multiclass"}, origin="perennial init"), None)
    home = folder.resolve()
    uri = str(where.relative_to(home)) if where.is_relative_to(home) else str(where)
    text = write_pipeline_yaml(name, frame, uri=uri, target=target, time=time)
    parse_spec(yaml.safe_load(text), origin=str(file))
    folder.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return file
