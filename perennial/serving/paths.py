"""What lies where in a server's directory.

====================  ============================================================================
``server.lock``       held while a server uses the directory
``models/``           the line-up and the models it names; see `perennial.serving.lineup`
``log/``              what is not in the store yet; see `perennial.serving.segment`
``run/``              of the running processes: metrics, and what the agent tells the workers
``locks/``            one file a worker, locked while it lives
====================  ============================================================================
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec

from perennial.private import make_private
from perennial.serving.lineup import replace_file


@dataclass(frozen=True)
class ServerPaths:
    """The folders of one server."""

    directory: Path

    @property
    def lock(self) -> Path:
        """Held by the server that uses the directory."""
        return self.directory / "server.lock"

    @property
    def models(self) -> Path:
        """The line-up and its models."""
        return self.directory / "models"

    @property
    def log(self) -> Path:
        """Segments that wait for the store."""
        return self.directory / "log"

    @property
    def run(self) -> Path:
        """Numbers of the running processes."""
        return self.directory / "run"

    @property
    def locks(self) -> Path:
        """Who is alive."""
        return self.directory / "locks"

    def make(self) -> None:
        """Make the folders that are missing; the directory is its owner's alone."""
        make_private(self.directory)
        for folder in (self.models, self.log, self.run, self.locks):
            folder.mkdir(parents=True, exist_ok=True)


class AgentStatus(msgspec.Struct, frozen=True):
    """What the process that talks to the store tells the workers."""

    waiting_bytes: int = 0
    """Bytes of log that wait for the store."""
    store_seen: float = 0.0
    """When every state.json was last looked at; seconds since the epoch."""


_decode = msgspec.json.Decoder(AgentStatus).decode


def read_agent_status(paths: ServerPaths) -> AgentStatus:
    """Read it; before it was ever written nothing waits."""
    try:
        return _decode((paths.run / "agent.json").read_bytes())
    except FileNotFoundError:
        return AgentStatus()


def write_agent_status(paths: ServerPaths, status: AgentStatus) -> None:
    """Replace it."""
    replace_file(paths.run / "agent.json", msgspec.json.encode(status), durable=False)
