"""One demo on the real stack for the whole session; the tests look at what it left behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from perennial.demo.prefect_client import Deployments
from perennial.local import ensure_up, status, stop
from perennial.settings import Settings
from perennial.store import Store, open_store
from tests.e2e.rollouts import Stack

PROJECT = Path(__file__).resolve().parents[2]
WINDOWS = 8
ROWS = 3000


@dataclass(frozen=True)
class PlayedDemo:
    """A demo that is over; its stack is still up."""

    directory: Path
    summary: dict[str, Any]
    settings: Settings
    store: Store
    output: str


def drifting_stream() -> pd.DataFrame:
    """A regression whose law turns round at 30% of the rows, with strings and missing values."""
    rng = np.random.default_rng(7)
    x = rng.normal(size=ROWS)
    kind = rng.choice(["red", "green", "blue"], ROWS)
    before = np.arange(ROWS) < 0.3 * ROWS
    level = pd.Series(kind).map({"red": 0.0, "green": 2.0, "blue": 5.0}).to_numpy()
    y = np.where(before, 3 * x + level, -3 * x + 10 - level) + rng.normal(0, 0.3, ROWS)
    frame = pd.DataFrame(
        {
            "when": pd.date_range("2030-01-01", periods=ROWS, freq="h"),
            "x": x,
            "kind": kind,
            "noise": rng.normal(size=ROWS),
            "y": y,
        }
    )
    frame.loc[rng.random(ROWS) < 0.1, "x"] = None
    frame.loc[rng.random(ROWS) < 0.1, "kind"] = None
    return frame


def perennial(*arguments: str, cwd: Path, timeout: float = 600) -> subprocess.CompletedProcess[str]:
    """Run the command line as a person would."""
    return subprocess.run(
        [sys.executable, "-m", "perennial", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack of the module's own, up with its defaults."""
    directory = tmp_path_factory.mktemp("stack") / ".perennial"
    try:
        settings = ensure_up(directory).settings
        deployments = Deployments(str(settings.prefect_address))
        yield Stack(directory, settings, open_store(settings), deployments)
        deployments.close()
    finally:
        stop(directory)


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlayedDemo]:
    """Declare a stream that nobody has seen with ``init``, and play it with ``demo --keep``."""
    home = tmp_path_factory.mktemp("newcomer")
    drifting_stream().to_csv(home / "stream.csv", index=False)
    directory = home / ".perennial"
    try:
        declared = perennial(
            "init", "turning", "--data", "stream.csv", "--target", "y", "--time", "when", cwd=home
        )
        assert declared.returncode == 0, declared.stderr
        played = perennial("demo", "turning", "--windows", str(WINDOWS), "--keep", cwd=home)
        assert played.returncode == 0, played.stdout + played.stderr
        print(played.stdout)
        settings = Settings.load(directory)
        yield PlayedDemo(
            directory=directory,
            summary=json.loads((directory / "demo" / "summary.json").read_text()),
            settings=settings,
            store=open_store(settings),
            output=played.stdout,
        )
    finally:
        stop(directory)
    assert not status(directory).up
