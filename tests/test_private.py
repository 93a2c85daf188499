"""What lies in the stack's folder is its owner's alone."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from perennial.local.state import StackFiles
from perennial.private import make_private
from perennial.serving.paths import ServerPaths


@pytest.fixture(autouse=True)
def _usual_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_folder_of_a_stack_is_closed_whoever_made_it(tmp_path: Path) -> None:
    home = tmp_path / ".perennial"
    (home / "demo").mkdir(parents=True)
    assert mode(home) == 0o755
    StackFiles(home).make()
    assert mode(home) == 0o700


def test_a_server_alone_closes_the_folders_that_it_makes(tmp_path: Path) -> None:
    ServerPaths(tmp_path / ".perennial" / "serving").make()
    assert mode(tmp_path / ".perennial") == 0o700
    assert mode(tmp_path / ".perennial" / "serving") == 0o700


def test_a_folder_of_another_user_is_used_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, mode: int) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "chmod", refuse)
    make_private(tmp_path)
    assert mode(tmp_path) != 0
