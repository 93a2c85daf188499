"""Logs of bounded size, written by children that know nothing of it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

MAX_BYTES = 10 * 2**20


def bound(log: Path, max_bytes: int = MAX_BYTES) -> bool:
    """Move a log that has grown past ``max_bytes`` into ``NAME.log.1``; True when it was.

    The file is copied and emptied in place: its writer holds it open for appending.
    """
    if not log.exists() or log.stat().st_size <= max_bytes:
        return False
    shutil.copyfile(log, log.with_name(log.name + ".1"))
    os.truncate(log, 0)
    return True


def tail(log: Path, lines: int = 1, max_bytes: int = 16_384) -> str:
    """Return the last lines that are not blank; empty where there is no log."""
    if not log.exists():
        return ""
    with log.open("rb") as source:
        source.seek(max(0, log.stat().st_size - max_bytes))
        text = source.read().decode("utf-8", errors="replace")
    kept = [line.rstrip() for line in text.splitlines() if line.strip()]
    return "\n".join(kept[-lines:])
