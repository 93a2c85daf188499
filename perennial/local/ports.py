"""Which ports of the loopback are free."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from contextlib import ExitStack

LOOPBACK = "127.0.0.1"


def is_free(port: int) -> bool:
    """Tell whether a server could listen on this port of the loopback now."""
    with socket.socket() as probe:
        return _bind(probe, port)


def choose_ports(preferred: Mapping[str, int]) -> dict[str, int]:
    """Pick a port for every name: the preferred one, else any free one; 0 prefers none.

    All are held until the last is picked, so no two names get the same.
    """
    chosen: dict[str, int] = {}
    with ExitStack() as held:
        for name, port in preferred.items():
            probe = held.enter_context(socket.socket())
            if not _bind(probe, port):
                _bind(probe, 0)
            chosen[name] = probe.getsockname()[1]
    return chosen


def _bind(probe: socket.socket, port: int) -> bool:
    # As servers do: a port whose last connections are still in TIME_WAIT counts as free.
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        probe.bind((LOOPBACK, port))
    except OSError:
        return False
    return True
