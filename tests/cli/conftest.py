"""The command line beside a store of the test's own, with pipelines in the current folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import Result
from typer.testing import CliRunner

from perennial.cli import app
from perennial.registry import declare
from perennial.settings import Settings
from perennial.store import Store
from perennial.training.columns import infer_features
from perennial.validation import learn_suite
from perennial.validation.suites import keep_learned

DECLARED = "name: bike\ntask: regression\nsource: {uri: rows.csv}\ntarget: cnt\nignore: [casual]\n"


@pytest.fixture
def here(store: Store, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder; the environment names the test's bucket."""
    monkeypatch.setenv("PERENNIAL_S3_ENDPOINT", settings.s3_endpoint or "")
    monkeypatch.setenv("PERENNIAL_BUCKET", settings.bucket)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", settings.access_key or "")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", settings.secret_key or "")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def bike(here: Path) -> Path:
    """The folder of a declared pipeline, with its source."""
    folder = here / "data" / "bike"
    folder.mkdir(parents=True)
    (folder / "pipeline.yaml").write_text(DECLARED)
    rows(200).to_csv(folder / "rows.csv", index=False)
    return folder


@pytest.fixture
def learned(store: Store, bike: Path) -> Path:
    """The same with what a training learned from it."""
    spec = declare(store, bike).spec
    frame = rows(200).drop(columns="casual")
    keep_learned(store, "bike", learn_suite(frame, infer_features(frame, spec), spec))
    return bike


def rows(count: int) -> pd.DataFrame:
    """Hours with a temperature, the weather, and how many bikes were lent."""
    return pd.DataFrame(
        {
            "temp": [20.0 + (7 * n) % 13 for n in range(count)],
            "weather": ["clear", "rain"] * (count // 2),
            "casual": [n % 5 for n in range(count)],
            "cnt": [100.0 + (n * n) % 31 for n in range(count)],
        }
    )


@pytest.fixture
def run() -> Callable[..., Result]:
    """Run a command; what it raises on purpose is raised here."""

    def invoke(*arguments: object, code: int = 0, **more: Any) -> Result:
        runner = CliRunner()
        result = runner.invoke(app, [*map(str, arguments)], catch_exceptions=False, **more)
        assert result.exit_code == code, result.output
        return result

    return invoke
