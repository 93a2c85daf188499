"""Our evaluation of a suite beside Great Expectations' and pandera's, in time and memory.

``make bench-validation`` prints the table and writes benchmarks/results/validation.json. One frame
of 1,000,000 rows and 30 columns (numbers, codes, text, times; some missing), 25 expectations. Ours
names the refused rows and splits them off; Great Expectations gives its yes or no
(BOOLEAN_ONLY); pandera checks the same conditions as well as it can state them. Each runs in a
process of its own, three times; memory is the peak above an idle process that holds the frame. At
last a Parquet folder of the same rows, many times over, is judged batch by batch.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from benchmarks.machine import describe, peak_memory
from perennial.validation import Evaluation, validate_parquet

PROJECT = Path(__file__).resolve().parents[1]
RESULT = PROJECT / "benchmarks" / "results" / "validation.json"
ROWS, ROUNDS, COPIES = 1_000_000, 3, 8
MEBI = 2**20


def make_frame(rows: int = ROWS) -> pd.DataFrame:
    """30 columns; a few rows in a thousand break a rule."""
    rng = np.random.default_rng(0)
    columns: dict[str, Any] = {f"n{i}": rng.normal(i, 1 + i, rows) for i in range(16)}
    for i in range(4):
        columns[f"n{i}"][rng.random(rows) < 0.05] = np.nan
    columns |= {f"i{i}": rng.integers(0, 20 * (i + 1), rows) for i in range(6)}
    columns |= {
        f"s{i}": np.array([f"level {n}" for n in range(10 + i)], dtype=object)[
            rng.integers(0, 10 + i, rows)
        ]
        for i in range(5)
    }
    columns["id"] = rng.permutation(rows)
    columns["low"], columns["high"] = columns["n5"], columns["n5"] + rng.exponential(1, rows)
    frame = pd.DataFrame(columns)
    frame["ts"] = pd.Timestamp("2030-01-01") + pd.to_timedelta(np.arange(rows), unit="s")
    frame.loc[rng.choice(rows, rows // 500, replace=False), "n6"] = 1e6
    return frame.drop(columns="i5")


def make_suite() -> dict[str, Any]:
    """25 expectations, 8 of which set rows aside."""

    def rule(kind: str, severity: str, **kwargs: Any) -> dict[str, Any]:
        return {"type": kind, "kwargs": kwargs, "meta": {"severity": severity}}

    between, in_set = "expect_column_values_to_be_between", "expect_column_values_to_be_in_set"
    rules = [rule("expect_table_row_count_to_be_between", "hold", min_value=20)]
    rules += [
        rule(between, "quarantine", column=f"n{i}", min_value=-500, max_value=500)
        for i in range(4, 10)
    ]
    rules += [rule("expect_column_values_to_not_be_null", "warn", column=f"n{i}", mostly=0.7)
              for i in range(4)]  # fmt: skip
    rules += [rule(in_set, "warn", column=f"s{i}", value_set=[f"level {n}" for n in range(10 + i)])
              for i in range(4)]  # fmt: skip
    rules += [rule(in_set, "warn", column=f"i{i}", value_set=list(range(20 * (i + 1))))
              for i in range(2)]  # fmt: skip
    rules += [
        rule("expect_column_values_to_be_unique", "quarantine", column="id"),
        rule("expect_column_values_to_be_increasing", "warn", column="ts"),
        rule("expect_column_pair_values_a_to_be_greater_than_b", "quarantine",
             column_A="high", column_B="low", or_equal=True),
        rule("expect_column_to_exist", "hold", column="n0"),
        rule("expect_column_mean_to_be_between", "warn", column="n1", min_value=0, max_value=2),
        rule("expect_column_unique_value_count_to_be_between", "warn", column="i4", min_value=2),
        rule("expect_column_values_to_be_in_type_list", "hold", column="n0", type_list=["float64"]),
        rule("expect_column_value_lengths_to_be_between", "warn", column="s4", min_value=1),
    ]  # fmt: skip
    return {"name": "bench", "expectations": rules}


def run_perennial(frame: pd.DataFrame, suite: dict[str, Any]) -> int:
    """Judge, and split off what is refused."""
    evaluation = Evaluation(suite, share=0.05)
    refusals = evaluation.add(frame)
    report = evaluation.report(lambda names: frame if names is None else frame[names])
    sound, refused = frame[refusals < 0], frame[refusals >= 0]
    assert len(sound) + len(refused) == len(frame)
    return len(report.findings)


def run_gx(frame: pd.DataFrame, suite: dict[str, Any]) -> int:
    """Great Expectations, BOOLEAN_ONLY."""
    import great_expectations as gx

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    rules = gx.ExpectationSuite(name=suite["name"], expectations=suite["expectations"])
    asset = context.data_sources.add_pandas("frame").add_dataframe_asset("rows")
    batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": frame})
    result = batch.validate(rules, result_format="BOOLEAN_ONLY")
    return sum(not r.success for r in result.results)


def run_pandera(frame: pd.DataFrame, suite: dict[str, Any]) -> int:
    """pandera with the same column checks, all errors gathered."""
    import pandera.pandas as pa_

    kinds: dict[str, Any] = {
        "expect_column_values_to_be_between": lambda k: pa_.Check.in_range(
            k["min_value"], k["max_value"]
        ),
        "expect_column_values_to_be_in_set": lambda k: pa_.Check.isin(k["value_set"]),
        "expect_column_values_to_be_increasing": lambda _: pa_.Check(
            lambda s: s.is_monotonic_increasing
        ),
        "expect_column_mean_to_be_between": lambda k: pa_.Check(
            lambda s: k["min_value"] <= s.mean() <= k["max_value"]
        ),
        "expect_column_unique_value_count_to_be_between": lambda k: pa_.Check(
            lambda s: s.nunique() >= k["min_value"]
        ),
        "expect_column_value_lengths_to_be_between": lambda k: pa_.Check.str_length(
            min_value=k["min_value"]
        ),
        "expect_column_values_to_not_be_null": lambda k: pa_.Check(
            lambda s: s.notna().mean() >= k["mostly"], ignore_na=False
        ),
    }
    checks: dict[str, list[Any]] = {}
    for rule in suite["expectations"]:
        column = rule["kwargs"].get("column")
        if column is not None and rule["type"] in kinds:
            checks.setdefault(column, []).append(kinds[rule["type"]](rule["kwargs"]))
    schema = pa_.DataFrameSchema(
        {name: pa_.Column(checks=found, nullable=True) for name, found in checks.items()}
        | {"id": pa_.Column(unique=True)},
        checks=[pa_.Check(lambda df: df["high"] >= df["low"])],
    )
    try:
        schema.validate(frame, lazy=True)
    except pa_.errors.SchemaErrors as error:
        return len(error.schema_errors)
    return 0


RUNS = {"perennial": run_perennial, "great_expectations": run_gx, "pandera": run_pandera}


def _forget_peak() -> int:
    """Begin to measure the peak anew; return what is held now, in bytes."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    held: int = psutil.Process().memory_info().rss
    return held


def child(name: str, data: str) -> None:
    """Measure one contender in this process."""
    frame = pd.read_pickle(data)
    size = int(frame.memory_usage(deep=True).sum())
    suite = make_suite()
    RUNS[name](frame.head(1000), suite)
    before = _forget_peak()
    seconds = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        broken = RUNS[name](frame, suite)
        seconds.append(time.perf_counter() - started)
    peak = peak_memory()
    figures = {
        "seconds": sorted(seconds)[len(seconds) // 2],
        "broken": broken,
        "frame_mb": size / MEBI,
        "extra_mb": (peak - before) / MEBI,
        "times_frame": (size + peak - before) / size,
    }
    print(json.dumps(figures))


def child_folder(folder: str) -> None:
    """Judge a folder in batches."""
    before = _forget_peak()
    started = time.perf_counter()
    report = validate_parquet(Path(folder), _of_folder(make_suite()), share=0.05)
    seconds = time.perf_counter() - started
    peak = peak_memory()
    figures = {
        "rows": report.rows,
        "seconds": seconds,
        "broken": len(report.findings),
        "extra_mb": (peak - before) / MEBI,
    }
    print(json.dumps(figures))


def _of_folder(suite: dict[str, Any]) -> dict[str, Any]:
    """Ids and times begin anew in every copy: the rules about them are left out."""
    kept = [r for r in suite["expectations"] if r["kwargs"].get("column") not in {"id", "ts"}]
    return {**suite, "expectations": kept}


def _spawn(*arguments: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.bench_validation", *arguments]
    run = subprocess.run(command, capture_output=True, text=True, check=True, cwd=PROJECT)
    found: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Measure, print, write."""
    if len(sys.argv) > 1:
        child_folder(sys.argv[2]) if sys.argv[1] == "folder" else child(sys.argv[1], sys.argv[2])
        return
    with tempfile.TemporaryDirectory() as place:
        frame = make_frame()
        data = f"{place}/frame.pickle"
        frame.to_pickle(data)
        results = {name: _spawn(name, data) for name in RUNS}
        folder = Path(place) / "rows"
        folder.mkdir()
        table = pa.Table.from_pandas(frame, preserve_index=False)
        for number in range(COPIES):
            pq.write_table(table, folder / f"part-{number}.parquet", row_group_size=100_000)
        batches = _spawn("folder", str(folder))
    shown = Table("", "seconds", "rules broken", "memory, times the frame", box=None)
    for name, figures in results.items():
        shown.add_row(
            name.replace("_", " "),
            f"{figures['seconds']:.2f}",
            str(figures["broken"]),
            f"{figures['times_frame']:.2f}",
        )
    console = Console(highlight=False)
    console.print(shown)
    console.print(
        f"A folder of {batches['rows']:,} rows in batches: {batches['seconds']:.1f} s, "
        f"{batches['extra_mb']:.0f} MB above an idle process."
    )
    record = {"machine": describe(), "rows": ROWS, "results": results, "folder": batches}
    RESULT.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
