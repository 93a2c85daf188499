"""Which ports of the loopback are free, and which another stack is about to use."""

from __future__ import annotations

import socket
import sys
from collections.abc import Mapping
from contextlib import ExitStack

LOOPBACK = "127.0.0.1"


class PortClaims:
    """Ports picked together, kept from every other stack on this machine until released.

    A server may take seconds from the choice of its port to listening on it. So a claim is a name
    in Linux's abstract socket namespace, which lives as long as its process; elsewhere there is
    none, and a port that is gone by then is noticed when the server ends.
    """

    def __init__(self, preferred: Mapping[str, int]) -> None:
        """Pick the preferred port for every name, else any free one; 0 prefers none."""
        self.ports: dict[str, int] = {}
        self._claims: list[socket.socket] = []
        with ExitStack() as held:  # so that no two names get the same
            for name, port in preferred.items():
                probe = held.enter_context(socket.socket())
                wanted = port
                while not (_bind(probe, wanted) and self._claim(probe.getsockname()[1])):
                    probe = held.enter_context(socket.socket())
                    wanted = 0
                self.ports[name] = probe.getsockname()[1]

    def release(self) -> None:
        """Let other stacks choose these ports again."""
        for claim in self._claims:
            claim.close()
        self._claims.clear()

    def _claim(self, port: int) -> bool:
        if sys.platform != "linux":
            return True
        claim = socket.socket(socket.AF_UNIX)
        try:
            claim.bind(f"\0perennial.port.{port}")
        except OSError:
            claim.close()
            return False
        self._claims.append(claim)
        return True


def is_free(port: int) -> bool:
    """Tell whether a server could listen on this port of the loopback now."""
    with socket.socket() as probe:
        return _bind(probe, port)


def _bind(probe: socket.socket, port: int) -> bool:
    # As servers do: a port whose last connections are still in TIME_WAIT counts as free.
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        probe.bind((LOOPBACK, port))
    except OSError:
        return False
    return True
