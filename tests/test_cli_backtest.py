"""What the backtest command refuses before it fits anything."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from perennial.backtest import yardsticks
from perennial.cli import app
from perennial.errors import SourceError, SpecError
from perennial.spec import detectors


@pytest.mark.parametrize("option", ["--json", "--report"])
def test_a_file_that_cannot_be_written_is_named_at_once(option: str, tmp_path: Path) -> None:
    for file, said in ((tmp_path / "none" / "x", "there is no folder"), (tmp_path, "is a folder")):
        told = CliRunner().invoke(app, ["backtest", "nowhere", option, str(file)])
        assert isinstance(told.exception, SpecError)
        assert said in str(told.exception)


def test_a_policy_that_is_none_is_named() -> None:
    told = CliRunner().invoke(app, ["backtest", "nowhere", "--policies", "perennial,sometimes"])
    assert "sometimes is none of perennial, never" in str(told.exception)


@pytest.mark.usefixtures("one_process")
def test_where_retraining_gains_nothing_no_share_of_it_is_told(tmp_path: Path) -> None:
    """No label comes in time, so that each of the refits is the first model over again."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=300)})
    frame.assign(y=frame["x"] + rng.normal(size=300)).to_csv(tmp_path / "rows.csv", index=False)
    declared = "name: toy\ntask: regression\nsource: {uri: rows.csv}\ntarget: y\n"
    (tmp_path / "pipeline.yaml").write_text(declared)
    asked = ["--windows", "2", "--policies", "never,every", "--label-delay-windows", "9"]
    told = CliRunner().invoke(app, ["backtest", str(tmp_path), *asked])
    assert told.exit_code == 0
    assert "Nothing to recover" in " ".join(told.output.split())


@pytest.mark.usefixtures("one_process")
def test_further_seeds_show_mean_least_and_most(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=300)
    pd.DataFrame({"x": x, "y": np.where(np.arange(300) < 150, x, -x)}).to_csv(
        tmp_path / "rows.csv", index=False
    )
    declared = "name: toy\ntask: regression\nsource: {uri: rows.csv}\ntarget: y\n"
    (tmp_path / "pipeline.yaml").write_text(declared)
    file = tmp_path / "found.json"
    asked = ["--windows", "4", "--policies", "never,every", "--seeds", "2", "--json", str(file)]
    told = CliRunner().invoke(app, ["backtest", str(tmp_path), *asked])
    assert told.exit_code == 0, told.exception
    assert "Mean of 2 runs, and from the least to the most" in " ".join(told.output.split())
    found = json.loads(file.read_text())
    assert [run["earlier_rows"] for run in found["runs"]] == [0, 30]
    least = found["policies"]["never"]["score"]["least"]
    assert f"{least:.4g} to " in told.output


def test_a_yardstick_without_its_package_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yardsticks, "find_spec", lambda _: None)
    told = CliRunner().invoke(app, ["backtest", "nowhere", "--policies", "arf,every,cusum"])
    assert isinstance(told.exception, SpecError)
    assert str(told.exception) == (
        "policies: arf, cusum need River, which is not installed: "
        "pip install -e '.[yardsticks]' -c constraints.txt"
    )


def test_a_detector_without_its_package_is_named_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(detectors, "find_spec", lambda _: None)
    (tmp_path / "pipeline.yaml").write_text(
        "name: toy\ntask: regression\nsource: {uri: rows.csv}\ntarget: y\n"
        "policy: {detectors: [tabular, moments]}\n"
    )
    told = CliRunner().invoke(app, ["backtest", str(tmp_path)])
    assert isinstance(told.exception, SourceError)  # there are no rows, and it was said before
    assert " ".join(told.output.split()).count("tabular needs alibi-detect") == 1
