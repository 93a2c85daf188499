"""Whether version 1, and each base after it, is as good as its rows allow.

``make bench-version-one`` makes a first version by the loop's own core of the first fifth of each
stream, and of more rows as a later base has them. In the four windows behind it stands beside each
declared family fitted on all the same rows, and beside scikit-learn's HistGradientBoosting with
default parameters. It prints the table and writes benchmarks/results/version_one.json.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from rich.console import Console
from rich.table import Table

from benchmarks.machine import describe
from perennial.backtest.stream import Cut, cut
from perennial.datasets.source import read_source
from perennial.evaluation.metrics import row_losses, score
from perennial.evaluation.targets import encode_known
from perennial.evaluation.yardstick import encode_target, fit_yardstick, target_classes
from perennial.loop.candidate import make_candidate
from perennial.loop.recipe import divide_rows
from perennial.loop.versions import answer
from perennial.packaging.predictor import encode_frame
from perennial.spec import EstimatorName, PipelineSpec, load_spec
from perennial.threads import one_thread
from perennial.training.estimator import load_estimator
from perennial.training.train import fit

PROJECT = Path(__file__).resolve().parents[1]
RESULT = PROJECT / "benchmarks" / "results" / "version_one.json"
SHARED = PROJECT.parent / "shared" / "data"
BASES = (0, 15, 30)
"""Windows after which a base is made: version 1, and two later ones."""
WINDOWS, BEHIND = 50, 4
_MOST_ROWS = 150_000
"""Bases of more rows take minutes each, and are left out: the last one of flights."""
_OTHERS = {
    "beijing": ("beijing_pm25.csv.gz", "PM2.5", ("PM10",)),
    "airquality": (
        "airquality.csv.gz",
        "CO(GT)",
        ("NMHC(GT)", "C6H6(GT)", "NOx(GT)", "NO2(GT)"),
    ),
}
"""Further streams of regression: file, target, what is ignored. Like bike, they were looked at when
folds and features of a tree were settled: they are no test of these."""


class Score(BaseModel):
    """One model in the windows behind its rows."""

    model_config = ConfigDict(frozen=True)

    loss: float
    metric: float
    by_window: tuple[float, ...]
    """The metric in each window."""
    cpu_seconds: float
    """Of its making; for the shipped one, of trial and refit."""


class Row(BaseModel):
    """One base of one stream."""

    model_config = ConfigDict(frozen=True)

    stream: str
    metric: str
    rows: int
    chosen: str
    rounds: int | None
    shipped: Score
    families: dict[str, Score]
    plain: Score
    to_best: float
    """The shipped loss as a share of the best declared family's."""
    to_plain: float
    refit_seconds: float
    """CPU, of making the chosen family again from all rows."""


class Behind:
    """The rows behind a base, with their truth."""

    def __init__(self, frame: pd.DataFrame, spec: PipelineSpec, where: Cut, at: int) -> None:
        self._frame, self._spec, self._where, self._at = frame, spec, where, at

    @property
    def rows(self) -> pd.DataFrame:
        """All of them."""
        low, high = self._where.bounds[self._at], self._where.bounds[self._at + BEHIND]
        return self._frame.iloc[low:high]

    def judge(self, y: NDArray[np.float64], output: NDArray[np.float64], cpu: float) -> Score:
        """Score answers to all rows behind (rows, width)."""
        spec, size = self._spec, self._where.window_rows
        cuts = [slice(low, low + size) for low in range(0, len(y), size)]
        return Score(
            loss=float(row_losses(spec.task, spec.metric, y, output).mean()),
            metric=score(spec.metric, y, output),
            by_window=tuple(score(spec.metric, y[part], output[part]) for part in cuts),
            cpu_seconds=round(cpu, 3),
        )


def measure(frame: pd.DataFrame, spec: PipelineSpec, where: Cut, at: int) -> Row:
    """Make a base of all rows before a window, and everything that it stands beside."""
    known, behind = frame.iloc[: where.bounds[at]], Behind(frame, spec, where, at)
    made = make_candidate(known, spec, divide_rows(known, spec, "retrain", None, None), None)
    signature = made.model.signature
    y, _ = encode_known(behind.rows[spec.target], signature)
    output = answer(made.model.predictor, behind.rows)
    shipped = behind.judge(y, output, made.cpu_seconds)
    families = {name: _family(known, spec, name, behind) for name in spec.model.estimators}
    best = min(family.loss for family in families.values())
    started = time.process_time()
    fit(known, spec, cast(EstimatorName, made.estimator), rounds=made.recipe.rounds)
    refit = time.process_time() - started
    plain = _plain(known, spec, behind)
    return Row(
        stream=spec.name,
        metric=spec.metric,
        rows=len(known),
        chosen=made.estimator,
        rounds=made.recipe.rounds,
        shipped=shipped,
        families=families,
        plain=plain,
        to_best=shipped.loss / best,
        to_plain=shipped.loss / plain.loss,
        refit_seconds=round(refit, 3),
    )


def _family(known: pd.DataFrame, spec: PipelineSpec, name: EstimatorName, behind: Behind) -> Score:
    started = time.process_time()
    fitted = fit(known, spec, name, rounds=None)
    cpu = time.process_time() - started
    y, _ = encode_known(behind.rows[spec.target], fitted.signature)
    return behind.judge(y, fitted.model.predict(*encode_frame(fitted.signature, behind.rows)), cpu)


def _plain(known: pd.DataFrame, spec: PipelineSpec, behind: Behind) -> Score:
    classes = () if spec.task == "regression" else target_classes(known[spec.target])
    model = fit_yardstick(known, spec, classes, seed=spec.model.seed)
    y = encode_target(behind.rows[spec.target], spec, classes)
    return behind.judge(y, model.predict(behind.rows), model.cpu_seconds)


def streams() -> Iterator[tuple[pd.DataFrame, PipelineSpec]]:
    """The streams whose source is there: those under data/, and others."""
    for folder in ("bike", "elec2", "flights"):
        declared = PROJECT / "data" / folder
        spec = load_spec(declared)
        if spec.source.made_by is not None or (declared / spec.source.uri).exists():
            yield _labelled(read_source(spec, declared), spec), spec
    for name, (file, target, ignored) in _OTHERS.items():
        if not (SHARED / file).exists():
            continue
        spec = PipelineSpec.model_validate(
            {
                "name": name,
                "task": "regression",
                "source": {"uri": file},
                "target": target,
                "time": "ts",
                "metric": "rmse",
                "ignore": ignored,
            }
        )
        yield _labelled(pd.read_csv(SHARED / file), spec), spec


def _labelled(frame: pd.DataFrame, spec: PipelineSpec) -> pd.DataFrame:
    return frame[frame[spec.target].notna()].reset_index(drop=True)


def table(rows: list[Row]) -> Table:
    """One line a base: losses, and CPU seconds."""
    shown = Table(box=None)
    columns = ("stream", "rows", "chosen", "shipped", "families", "plain", "to best", "to plain")
    for column in (*columns, "by window", "CPU made", "refit", "plain"):
        shown.add_column(column)
    for row in rows:
        shown.add_row(
            f"{row.stream}, {row.metric}",
            f"{row.rows:,}",
            f"{row.chosen} {row.rounds or ''}",
            f"{row.shipped.loss:.4g}",
            " ".join(f"{family.loss:.4g}" for family in row.families.values()),
            f"{row.plain.loss:.4g}",
            f"{row.to_best:.3f}",
            f"{row.to_plain:.3f}",
            " ".join(f"{value:.4g}" for value in row.shipped.by_window),
            f"{row.shipped.cpu_seconds:.2f}",
            f"{row.refit_seconds:.2f}",
            f"{row.plain.cpu_seconds:.2f}",
        )
    return shown


def main() -> None:
    """Measure each stream."""
    console = Console(highlight=False, width=200)
    rows = []
    for frame, spec in streams():
        for name in spec.model.estimators:
            load_estimator(name)  # its libraries take seconds, once
        where = cut(len(frame), windows=WINDOWS, train_fraction=0.2)
        for at in BASES:
            if where.bounds[at] > _MOST_ROWS:
                continue
            # Further threads would only spin, and count.
            with console.status(f"{spec.name}, window {at}"), one_thread():
                rows.append(measure(frame, spec, where, at))
            _write(rows)
    console.print(table(rows))


def _write(rows: list[Row]) -> None:
    """Keep what there is so far: all of it takes minutes."""
    result = {"machine": describe(), "rows": [row.model_dump() for row in rows]}
    RESULT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
