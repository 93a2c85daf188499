"""alibi-detect and Evidently on the same windows, each as it comes."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

FOLDER = Path(__file__).resolve().parents[1] / ".bench"
REQUIREMENTS = ("evidently>=0.7,<0.8", "pandas<3", "pyarrow")
SCRIPT = Path(__file__).with_name("drift_evidently.py")

Pair = tuple[pd.DataFrame, pd.DataFrame]
"""Reference and window."""


def evidently(pairs: Sequence[Pair]) -> list[tuple[int, float]]:
    """For each pair, how many columns Evidently says have drifted, and in how many seconds."""
    folder = FOLDER / "drift"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for number, (reference, window) in enumerate(pairs):
        reference.to_parquet(folder / f"{number:05d}.reference.parquet")
        window.to_parquet(folder / f"{number:05d}.window.parquet")
    subprocess.run([_python(), SCRIPT, folder], check=True, stdout=subprocess.DEVNULL)
    found = json.loads((folder / "evidently.json").read_text(encoding="utf-8"))
    shutil.rmtree(folder)
    return [(found[name]["drifted"], found[name]["seconds"]) for name in sorted(found)]


def _python() -> Path:
    """The interpreter of Evidently's environment, made on first use."""
    venv = FOLDER / "evidently"
    python = venv / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", venv], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", *REQUIREMENTS], check=True)
    return python


class Alibi:
    """TabularDrift on a reference, at its default level of 5% over all features."""

    def __init__(self, reference: pd.DataFrame) -> None:
        """Keep the reference."""
        from alibi_detect.cd import TabularDrift

        self._levels = {
            i: {level: float(code) for code, level in enumerate(sorted(reference[name].unique()))}
            for i, name in enumerate(reference.columns)
            if reference[name].dtype == object
        }
        self._detector = TabularDrift(
            self._read(reference), categories_per_feature=dict.fromkeys(self._levels)
        )

    def drifted(self, window: pd.DataFrame) -> bool:
        """Whether any feature has drifted."""
        return bool(self._detector.predict(self._read(window))["data"]["is_drift"])

    def _read(self, frame: pd.DataFrame) -> np.ndarray:
        return np.column_stack(
            [
                frame.iloc[:, i].map(self._levels[i]) if i in self._levels else frame.iloc[:, i]
                for i in range(frame.shape[1])
            ]
        ).astype(np.float64)
