"""Which workers live: each holds a lock on a file of its own in ``DIR/locks``.

A lock belongs to the open file, so it outlives the process that took it for as long as a child
holds the file open, and ends with that child, however it ends.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


def make_lock(locks: Path, name: str) -> int:
    """Make a worker's lock file, locked; return the file descriptor to hand to the worker.

    The file appears under its name only when it is locked: nobody can take the worker for dead
    before it was born.
    """
    unborn = locks.with_name(f".{name}.lock")
    fd = os.open(unborn, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        unborn.rename(locks / name)
    except BaseException:
        os.close(fd)
        raise
    return fd


def is_alive(lock: Path) -> bool:
    """Tell whether a process holds the lock."""
    fd = os.open(lock, os.O_RDWR)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False
