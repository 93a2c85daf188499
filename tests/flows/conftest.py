"""Flows in this process: a Prefect server of the session's own, the session's real store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import tasks.connection
from perennial.registry import declare
from perennial.settings import Settings
from perennial.store import Store
from perennial.validation.suites import EXPECTATIONS_FILE, need_suite, suite_text


@pytest.fixture(scope="session")
def prefect_server(_clean_environment: None) -> Iterator[None]:
    from prefect.testing.utilities import prefect_test_harness  # two seconds

    with prefect_test_harness(server_startup_timeout=120):
        yield


@pytest.fixture
def connected(
    prefect_server: None,
    settings: Settings,
    store: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Store:
    """Point the tasks at the test's bucket and at pipelines below its folder."""
    variables = {
        "PERENNIAL_S3_ENDPOINT": settings.s3_endpoint,
        "PERENNIAL_BUCKET": settings.bucket,
        "AWS_ACCESS_KEY_ID": settings.access_key,
        "AWS_SECRET_ACCESS_KEY": settings.secret_key,
        "PERENNIAL_PIPELINES": str(tmp_path),
    }
    for name, value in variables.items():
        assert value is not None
        monkeypatch.setenv(name, value)
    tasks.connection.settings.cache_clear()
    tasks.connection.store.cache_clear()
    return store


def edit_suite(store: Store, folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Write the suite in force beside pipeline.yaml, each rule as ``change`` leaves it."""
    suite = need_suite(store, declare(store, folder))
    for rule in suite["expectations"]:
        change(rule)
    (folder / EXPECTATIONS_FILE).write_text(suite_text(suite))


def frame(rows: int = 400, slope: float = 3.0, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=rows)
    noise = rng.normal(size=rows)  # without any, x alone would tell y: a leak
    return pd.DataFrame({"x": x, "c": rng.choice(["a", "b"], rows), "y": slope * x + noise})


@pytest.fixture
def pipeline(tmp_path: Path) -> Callable[[pd.DataFrame], Path]:
    """Write a pipeline's folder named ``line`` and its data."""

    def write(data: pd.DataFrame) -> Path:
        folder = tmp_path / "line"
        folder.mkdir(exist_ok=True)
        data.to_csv(folder / "data.csv", index=False)
        (folder / "pipeline.yaml").write_text(
            "name: line\ntask: regression\nsource: {uri: data.csv}\ntarget: y\n"
            "model: {estimators: [linear]}\nmonitor: {window: 50 rows}\n"
        )
        return folder

    return write


@pytest.fixture
def immediate(pipeline: Callable[[pd.DataFrame], Path]) -> Callable[[pd.DataFrame], Path]:
    """The same of a pipeline whose versions take over as soon as they are registered."""

    def write(data: pd.DataFrame) -> Path:
        folder = pipeline(data)
        with (folder / "pipeline.yaml").open("a") as file:
            file.write("rollout: {shadow: null, canary: null, bake: null}\n")
        return folder

    return write
