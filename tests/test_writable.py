"""What cannot be written is said before the work."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

from perennial.cli import common
from perennial.errors import SpecError
from perennial.writable import check_file, check_folder


def test_a_file_that_can_be_written_is_left_as_it_was(tmp_path):
    check_file(tmp_path / "new.csv")
    assert not list(tmp_path.iterdir())
    (tmp_path / "old.csv").write_text("a")
    check_file(tmp_path / "old.csv")
    assert (tmp_path / "old.csv").read_text() == "a"


def test_a_folder_that_can_be_made_is_not_made(tmp_path):
    check_folder(tmp_path / "a" / "b")
    check_folder(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "is a folder: name a file in it"),
        ("absent/x.csv", "there is no folder"),
        ("taken/x.csv", "cannot be written: Not a directory"),
        ("x" * 300, "cannot be written: File name too long"),
    ],
)
def test_a_file_that_cannot_be_written_is_told_with_its_option(tmp_path, name, words):
    (tmp_path / "taken").write_text("")
    with pytest.raises(SpecError, match=rf"^--json: .*{words}"):
        check_file(tmp_path / name, "--json")


def test_a_folder_below_a_file_is_told(tmp_path):
    (tmp_path / "taken").write_text("")
    for name in ("taken", "taken/a/b"):
        with pytest.raises(SpecError, match="taken is no folder"):
            check_folder(tmp_path / name)


def test_a_folder_that_refuses_is_told():
    with pytest.raises(SpecError, match=r"^--to: /proc/here cannot be written: "):
        check_folder(Path("/proc/here"), "--to")


@pytest.mark.parametrize(
    "command",
    [
        ("init", "x", "--data", "rows.csv", "--target", "y", "--folder", "taken/x"),
        ("example", "--folder", "taken/x"),
        ("demo", "bike", "--dir", "taken/x"),
        ("up", "--dir", "taken/x"),
        ("serve", "--dir", "taken/x"),
        ("backtest", "p", "--json", "taken/x"),
        ("backtest", "p", "--report", "taken/x"),
        ("replay", "p", "--json", "taken/x"),
        ("report", "p", "--out", "taken/x"),
        ("show", "p", "champion", "--html", "taken/x"),
        ("export", "p", "champion", "--to", "taken/x"),
        ("score", "p", "rows.csv", "--output", "taken/x.csv"),
    ],
    ids=lambda command: " ".join(command[:1]),
)
def test_every_command_that_writes_says_so_first_and_in_one_line(
    tmp_path, monkeypatch, capsys, command
):
    """Without a store: the check comes before anything that needs one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PERENNIAL_S3_ENDPOINT", raising=False)
    monkeypatch.delenv("PERENNIAL_BUCKET", raising=False)
    (tmp_path / "taken").write_text("")
    monkeypatch.setattr("sys.argv", ["perennial", *command])
    with pytest.raises(SystemExit) as ended:
        common.main()
    said = capsys.readouterr().err
    assert ended.value.code == 1
    assert said.startswith("Error: ")
    assert said.count("\n") == 1
    assert "taken" in said


def test_a_full_disk_is_one_line(monkeypatch, capsys):
    def full() -> Any:
        raise OSError(errno.ENOSPC, "No space left on device", "scores.csv")

    monkeypatch.setattr(common, "app", full)
    with pytest.raises(SystemExit):
        common.main()
    assert capsys.readouterr().err == "Error: scores.csv: No space left on device\n"


def test_any_other_fault_of_the_system_is_not_hidden(monkeypatch):
    def broken() -> Any:
        raise ConnectionResetError(errno.ECONNRESET, "reset")

    monkeypatch.setattr(common, "app", broken)
    with pytest.raises(ConnectionResetError):
        common.main()
