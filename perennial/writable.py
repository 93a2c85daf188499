"""Where a command will write, tried before it works for minutes."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from perennial.errors import SpecError


def check_file(file: Path, option: str = "") -> None:
    """See that a file can be written; one that is there stays as it is.

    Args:
        option: of the command line that names it; stands in the message.

    Raises:
        SpecError: it cannot; says why.
    """
    said = f"{option}: " if option else ""
    try:
        if file.is_dir():
            raise SpecError(f"{said}{file} is a folder: name a file in it")
        if not file.parent.exists():
            raise SpecError(f"{said}there is no folder {file.parent}: make it first")
        before = os.path.lexists(file)
        with file.open("ab"):
            pass
        if not before:
            file.unlink()
    except OSError as error:
        raise SpecError(f"{said}{file} cannot be written: {error.strerror}") from None


def check_folder(folder: Path, option: str = "") -> None:
    """See that a folder can be made, or written into where it is there; makes none.

    Args:
        option: of the command line that names it; stands in the message.

    Raises:
        SpecError: it cannot; says why.
    """
    said = f"{option}: " if option else ""
    try:
        above = (folder, *folder.absolute().parents)
        nearest = next(path for path in above if os.path.lexists(path))
        if not nearest.is_dir():
            raise SpecError(f"{said}{folder} cannot be made: {nearest} is no folder")
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        raise SpecError(f"{said}{folder} cannot be written: {error.strerror}") from None
