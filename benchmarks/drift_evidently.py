"""Evidently's drift preset with its defaults, run by the interpreter of its own environment.

``python drift_evidently.py FOLDER``: reads ``N.reference.parquet`` and ``N.window.parquet`` for
each N, writes ``evidently.json``: how many columns of each window it says have drifted, and the
seconds it took. It imports nothing of Perennial.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pandas as pd
from evidently import Report
from evidently.presets import DataDriftPreset


def drifted(reference: pd.DataFrame, window: pd.DataFrame) -> int:
    """Count the drifted columns."""
    run = Report([DataDriftPreset()]).run(current_data=window, reference_data=reference)
    metrics = json.loads(run.json())["metrics"]
    counts = [m["value"]["count"] for m in metrics if "DriftedColumnsCount" in str(m)]
    return int(counts[0])


def main() -> None:
    """Check every pair."""
    folder = Path(sys.argv[1])
    found = {}
    for path in sorted(folder.glob("*.window.parquet")):
        name = path.name.removesuffix(".window.parquet")
        reference = pd.read_parquet(folder / f"{name}.reference.parquet")
        window = pd.read_parquet(path)
        started = time.perf_counter()
        count = drifted(reference, window)
        found[name] = {"drifted": count, "seconds": time.perf_counter() - started}
    (folder / "evidently.json").write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
