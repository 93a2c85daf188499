"""What the backtest command refuses before it fits anything."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from perennial.cli import app
from perennial.errors import SpecError


@pytest.mark.parametrize("option", ["--json", "--report"])
def test_a_file_that_cannot_be_written_is_named_at_once(option: str, tmp_path: Path) -> None:
    for file, said in ((tmp_path / "none" / "x", "there is no folder"), (tmp_path, "is a folder")):
        told = CliRunner().invoke(app, ["backtest", "nowhere", option, str(file)])
        assert isinstance(told.exception, SpecError)
        assert said in str(told.exception)


def test_a_policy_that_is_none_is_named() -> None:
    told = CliRunner().invoke(app, ["backtest", "nowhere", "--policies", "perennial,sometimes"])
    assert "sometimes is none of perennial, never" in str(told.exception)
