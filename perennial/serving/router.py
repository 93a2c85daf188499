"""Champion or challenger: by a stable hash of the routing key."""

from __future__ import annotations

from hashlib import blake2b
from typing import NamedTuple

_SCALE = 2.0**-64


class Route(NamedTuple):
    """How a request was routed between champion and challenger."""

    place: int
    """The routing key's hash, 64 bits without sign."""
    weight: float
    """The challenger's share, as this server knew it."""

    @property
    def to_challenger(self) -> bool:
        """Whether the challenger answers."""
        return self.place * _SCALE < self.weight


def place(key: str, salt: str) -> int:
    """Give a key its place among 2**64, the same in every process and at every time.

    Args:
        key: the routing key of a request.
        salt: the challenger's version, so that each rollout tries itself on other keys.
    """
    return int.from_bytes(blake2b(f"{salt}\0{key}".encode(), digest_size=8).digest(), "little")
