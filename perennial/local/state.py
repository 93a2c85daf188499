"""``stack.json``: what a stack consists of, as its supervisor last saw it."""

from __future__ import annotations

import fcntl
import os
import secrets
import time
from pathlib import Path
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict

from perennial.local.processes import ProcessId
from perennial.private import make_private
from perennial.settings import ENV_FILE
from perennial.writable import check_folder

WorkerKind = Literal["fork", "process"]
Phase = Literal["starting", "up", "stopping", "failed"]


class PartState(BaseModel):
    """One child process."""

    model_config = ConfigDict(frozen=True)

    name: str
    title: str
    url: str | None
    health_url: str | None
    log: Path
    process: ProcessId | None = None
    started_at: AwareDatetime | None = None
    ready: bool = False
    """Whether it has been ready once since the stack was started."""
    restarts: int = 0
    last_exit: int | None = None


class StackState(BaseModel):
    """The whole stack."""

    model_config = ConfigDict(frozen=True)

    format: int = 1
    id: str
    project: Path
    worker: WorkerKind
    supervisor: ProcessId
    phase: Phase
    error: str | None = None
    moved: dict[str, tuple[int, int]] = {}
    """Parts whose usual port is taken: the usual one, and the one in use."""
    pool_id: str | None = None
    """The Prefect work pool: another id means another database, or another kind of worker."""
    parts: tuple[PartState, ...] = ()


class StackFiles:
    """Where a stack keeps what, below one directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory.resolve()
        self.state = self.directory / "stack.json"
        self.environment = self.directory / ENV_FILE
        self.lock = self.directory / "supervisor.lock"
        self.logs = self.directory / "logs"
        self.keys = self.directory / "store.keys"
        self.store = self.directory / "store"
        self.store_guard = self.directory / "store.guard"
        self.prefect = self.directory / "prefect"
        self.serving = self.directory / "serving"
        self.alerts_token = self.directory / "alerts.token"
        self.prefect_auth = self.directory / "prefect.auth"
        self.deployed = self.directory / "deployed.json"

    def make(self) -> None:
        """Make the folders that are missing; the directory is its owner's alone.

        Raises:
            SpecError: the directory cannot be made or written.
        """
        check_folder(self.directory)
        make_private(self.directory)
        for folder in (self.logs, self.store, self.prefect, self.serving):
            folder.mkdir(exist_ok=True)

    def ensure_alerts_token(self) -> None:
        """Make the token that alerts must bear, readable by its owner alone, unless it is there."""
        _ensure_secret(self.alerts_token, "")

    def ensure_prefect_auth(self) -> str:
        """Make what Prefect shall ask for, unless it is there, and give it: user:password."""
        _ensure_secret(self.prefect_auth, "perennial:")
        return self.prefect_auth.read_text(encoding="utf-8").strip()

    def read_state(self) -> StackState | None:
        """Read the state that was last written; None where there is none."""
        try:
            return StackState.model_validate_json(self.state.read_bytes())
        except FileNotFoundError:
            return None

    def write_state(self, state: StackState) -> None:
        """Replace the state, whole or not at all."""
        scratch = self.state.with_suffix(".new")
        scratch.write_text(state.model_dump_json(indent=2) + "\n", encoding="utf-8")
        scratch.replace(self.state)

    def forget(self) -> None:
        """Remove what says that a stack is up."""
        self.state.unlink(missing_ok=True)
        self.environment.unlink(missing_ok=True)

    def take_lock(self, patience: float = 1.0) -> bool:
        """Become the supervisor of this directory; False when another is and stays it.

        The kernel frees the lock when this process ends, however that comes about. Whoever looks
        (`is_supervised`) holds it for an instant: hence the patience, in seconds.
        """
        descriptor = os.open(self.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + patience
        while not _lock(descriptor, fcntl.LOCK_EX):
            if time.monotonic() > deadline:
                os.close(descriptor)
                return False
            time.sleep(0.01)
        return True

    def is_supervised(self) -> bool:
        """Tell whether a supervisor lives."""
        try:
            descriptor = os.open(self.lock, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            return not _lock(descriptor, fcntl.LOCK_SH)
        finally:
            os.close(descriptor)


def _ensure_secret(file: Path, before: str) -> None:
    if file.exists():
        return
    scratch = file.with_suffix(".new")
    scratch.unlink(missing_ok=True)
    scratch.touch(mode=0o600, exist_ok=False)
    scratch.write_text(f"{before}{secrets.token_urlsafe(30)}\n", encoding="utf-8")
    scratch.replace(file)


def _lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
