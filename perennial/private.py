"""Folders that are their owner's alone."""

from __future__ import annotations

import contextlib
from pathlib import Path


def make_private(folder: Path) -> None:
    """Make a folder, and have nobody but its owner look into it, also where it is there already.

    Folders above it that are missing are made so too. A volume that belongs to another user stays
    as it is.
    """
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    for path in reversed(missing):
        path.mkdir(mode=0o700, exist_ok=True)
    with contextlib.suppress(PermissionError):
        folder.chmod(0o700)
