"""Free ports of the loopback, for servers that listen at once."""

from __future__ import annotations

from collections.abc import Iterable

from perennial.local.ports import PortClaims


def free_ports(names: Iterable[str]) -> dict[str, int]:
    """Pick a port for every name; nothing keeps it from others."""
    claims = PortClaims(dict.fromkeys(names, 0))
    claims.release()
    return claims.ports


def free_port() -> int:
    """Pick one."""
    return free_ports(["any"])["any"]
