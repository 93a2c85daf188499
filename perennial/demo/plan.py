"""What a demo will play: the history that trains version 1, and the windows that follow."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from perennial.backtest.stream import Cut, cut
from perennial.datasets.source import read_source
from perennial.errors import SourceError
from perennial.private import make_private
from perennial.spec import PipelineSpec, load_spec

TRAIN_FRACTION = 0.2
MAX_WINDOWS = 50
MIN_WINDOW = 20
_BROKEN_FROM = 20
"""In a demo of so many windows or more the pipe breaks once."""
_HISTORY = "history.parquet"
_DEMO = "-demo"
_LONGEST_NAME = 63 - len(_DEMO)
"""A pipeline's name has 63 characters at most."""
_EXPECTATIONS = "expectations.json"


@dataclass(frozen=True)
class Break:
    """Where the demo breaks the pipe, for the window to be held."""

    window: int
    """Counted from 0."""
    column: str
    """Holds one value throughout that window."""


@dataclass(frozen=True)
class Plan:
    """A recorded stream, cut for a demo."""

    spec: PipelineSpec
    """As declared, under the demo's own name; the demo's declaration differs in source, schedule,
    window and cool-down, too."""
    title: str
    """The name of the pipeline that is played."""
    folder: Path
    """Where the demo's own pipeline.yaml and history lie."""
    frame: pd.DataFrame
    """The whole stream in time order."""
    cut: Cut
    breaks: bool = True
    """Whether the pipe breaks once."""

    @cached_property
    def broken(self) -> Break | None:
        """The middle of the stream and its most varied number; None where windows are few."""
        numbers = self.frame[self.fields].select_dtypes("number").nunique()
        if not self.breaks or self.cut.windows < _BROKEN_FROM or numbers.empty:
            return None
        return Break(self.cut.windows // 2, str(numbers.idxmax()))

    def rows(self, window: int) -> tuple[int, int]:
        """First row of a window (counted from 0) and the row behind its last."""
        return self.cut.rows(window)

    @property
    def fields(self) -> list[str]:
        """Columns that a request carries: the features and the time, not the target."""
        left_out = {self.spec.target, *self.spec.ignore}
        return [str(c) for c in self.frame.columns if c not in left_out]

    def requests(self, window: int) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield id and named fields of a window's rows; missing values are left out."""
        low, high = self.rows(window)
        rows = self.frame[self.fields].iloc[low:high]
        if self.broken is not None and self.broken.window == window:
            column = self.broken.column
            rows = rows.assign(**{column: rows[column].dropna().iloc[0]})
        columns = [rows[name].tolist() for name in self.fields]
        for row, cells in enumerate(zip(*columns, strict=True), start=low):
            values = {n: json_value(c) for n, c in zip(self.fields, cells, strict=True)}
            yield request_id(row), {n: v for n, v in values.items() if v is not None}

    def truths(self, window: int) -> list[tuple[str, Any]]:
        """Ids and labels of a window's rows, those whose truth is known."""
        low, high = self.rows(window)
        cells = self.frame[self.spec.target].iloc[low:high].tolist()
        labels = ((request_id(row), json_value(c)) for row, c in enumerate(cells, start=low))
        return [(name, label) for name, label in labels if label is not None]


def json_value(cell: Any) -> Any:
    """A cell of a frame as JSON has it; None for a missing value."""
    if cell is None or cell is pd.NaT or (isinstance(cell, float) and math.isnan(cell)):
        return None
    if isinstance(cell, pd.Timestamp | datetime):
        return cell.isoformat(sep=" ")
    return cell.item() if hasattr(cell, "item") else cell


def request_id(row: int) -> str:
    """The id under which a row of the stream is sent."""
    return f"row-{row:07d}"


def demo_name(pipeline: str) -> str:
    """The name under which a pipeline's demo lies in the store: that of no pipeline in sight."""
    return f"{pipeline[:_LONGEST_NAME]}{_DEMO}"


def make_plan(source: Path, directory: Path, windows: int | None) -> Plan:
    """Read a pipeline's stream and write the demo's own copy of its declaration.

    The copy's source holds the first fifth alone: nothing from later lies where the flows read.

    Args:
        source: folder of the pipeline.yaml to play.
        directory: of all demos; this one's folder in it bears the pipeline's name.
        windows: how many windows to play; None: of as many rows as declared, at most 50.

    Raises:
        SpecError, SourceError: the declaration or the stream is unfit, or too short.
    """
    spec = load_spec(source)
    home = source if source.is_dir() else source.parent
    frame = read_source(spec, home)
    first = int(len(frame) * TRAIN_FRACTION)
    if first < MIN_WINDOW:
        raise SourceError(
            f"the first fifth of {len(frame)} rows is too little to train version 1 on: a demo "
            f"needs {round(MIN_WINDOW / TRAIN_FRACTION)} rows or more"
        )
    rest = len(frame) - first
    count = windows or _default_windows(spec, rest)
    if count < 1 or rest // count < MIN_WINDOW:
        raise SourceError(
            f"{len(frame)} rows are too few for {count or 1} windows of at least {MIN_WINDOW} rows "
            f"behind the first fifth; at most {rest // MIN_WINDOW} would fit"
        )
    plan = Plan(
        spec=spec.model_copy(update={"name": demo_name(spec.name)}),
        title=spec.name,
        folder=directory / spec.name,
        frame=frame,
        cut=cut(len(frame), windows=count, train_fraction=TRAIN_FRACTION, label_delay_windows=1),
    )
    _write(plan, home)
    return plan


def _default_windows(spec: PipelineSpec, rest: int) -> int:
    declared = spec.monitor.window.rows or 0
    return min(MAX_WINDOWS, rest // max(declared, MIN_WINDOW))


def _write(plan: Plan, home: Path) -> None:
    """What an earlier demo declared goes; its report stays until this one has made its own."""
    make_private(plan.folder)
    (plan.folder / _EXPECTATIONS).unlink(missing_ok=True)
    plan.frame.iloc[: plan.cut.first].to_parquet(plan.folder / _HISTORY, index=False)
    if (home / _EXPECTATIONS).is_file():
        shutil.copy(home / _EXPECTATIONS, plan.folder / _EXPECTATIONS)
    declared = json.loads(plan.spec.model_dump_json(exclude_unset=True))
    declared["source"] = {"uri": _HISTORY}
    # Its times are times of UTC by now, and so the requests write them.
    declared.pop("time_format", None)
    declared.pop("timezone", None)
    # The demo asks for each check itself, at the end of a window.
    declared["monitor"] = {"schedule": None, "window": f"{plan.cut.window_rows} rows"}
    # A heal is settled between two windows, while no traffic flows that a rollout could go by.
    declared["rollout"] = {"shadow": None, "canary": None, "bake": None}
    (plan.folder / "pipeline.yaml").write_text(
        f"# Made by 'perennial demo' from {home.name}/pipeline.yaml.\n"
        + yaml.safe_dump(declared, sort_keys=False),
        encoding="utf-8",
    )
