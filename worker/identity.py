"""Which process runs a flow run, in a form that survives the worker: host, pid, start."""

from __future__ import annotations

import socket
from dataclasses import dataclass

import psutil

from perennial.local.processes import ProcessId


@dataclass(frozen=True)
class Identity:
    """One process on one machine; a later process with the same pid is another one."""

    host: str
    process: ProcessId

    @classmethod
    def of(cls, pid: int) -> Identity:
        """Name a process of this machine; one that has ended already matches none."""
        try:
            process = ProcessId.of(pid)
        except psutil.NoSuchProcess:
            process = ProcessId(pid=pid, started=-1)
        return cls(socket.gethostname(), process)

    @classmethod
    def parse(cls, text: str) -> Identity:
        """Read what `str` wrote.

        Raises:
            ValueError: it is something else.
        """
        host, pid, started = text.rsplit(":", 2)
        return cls(host, ProcessId(pid=int(pid), started=float(started)))

    def __str__(self) -> str:
        return f"{self.host}:{self.process.pid}:{self.process.started}"

    def is_alive(self) -> bool:
        """Tell whether this very process runs; ask only on its own machine."""
        return self.process.find() is not None
