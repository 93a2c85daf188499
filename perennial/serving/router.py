"""Champion or challenger: by a stable hash of the routing key."""

from __future__ import annotations

from hashlib import blake2b

_SCALE = 2.0**-64


def position(key: str, salt: str) -> float:
    """Give a key its place in [0, 1), the same in every process and at every time.

    Args:
        key: the routing key of a request.
        salt: the challenger's version, so that each rollout tries itself on other keys.
    """
    digest = blake2b(f"{salt}\0{key}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") * _SCALE


def goes_to_challenger(key: str, salt: str, weight: float) -> bool:
    """Tell whether the challenger answers; a key that it answers stays with it as weight grows."""
    return position(key, salt) < weight
