"""Who may say that a version is ours: Ed25519 signatures (RFC 8032), where keys are configured.

PERENNIAL_SIGNING_KEY names the file of a private key (PEM), for flows; PERENNIAL_TRUSTED_KEYS the
files of public keys, joined by ':', for whoever reads. `openssl genpkey -algorithm ed25519` makes
the one, `openssl pkey -pubout` the other.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from perennial.errors import ModelError, StackError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (
        Ed25519PrivateKey,
        Ed25519PublicKey,
    )


@dataclass(frozen=True)
class Keys:
    """Keys of one process. Without any nothing is signed, and nothing is asked for."""

    private: Ed25519PrivateKey | None = None
    trusted: tuple[Ed25519PublicKey, ...] = ()

    def sign(self, content: bytes) -> str | None:
        """Sign some bytes, in base64; None without a private key."""
        return (
            None if self.private is None else base64.b64encode(self.private.sign(content)).decode()
        )

    def verify(self, content: bytes, signature: str | None, where: str) -> None:
        """See that a trusted key signed some bytes; without trusted keys everything passes.

        Raises:
            ModelError: none did.
        """
        if not self.trusted:
            return
        if signature is None:
            raise ModelError(f"{where} is not signed, and PERENNIAL_TRUSTED_KEYS asks for it")
        from cryptography.exceptions import InvalidSignature

        for key in self.trusted:
            try:
                key.verify(base64.b64decode(signature), content)
                return
            except (InvalidSignature, ValueError):
                continue
        raise ModelError(f"{where} is not signed by a trusted key: it was altered, or is not ours")


NO_KEYS = Keys()


def load_keys(private: Path | None, trusted: tuple[Path, ...]) -> Keys:
    """Read keys from PEM files; a private key is trusted too.

    Raises:
        StackError: a file is missing or holds no such key.
    """
    if private is None and not trusted:
        return NO_KEYS
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ed25519

    def load(path: Path, kind: type, read: Callable[[bytes], object]) -> Any:
        try:
            key = read(path.read_bytes())
        except (OSError, ValueError) as error:
            raise StackError(f"{path} cannot be read as a key in PEM: {error}") from None
        if not isinstance(key, kind):
            raise StackError(f"{path} holds a {type(key).__name__}, an Ed25519 key is expected")
        return key

    public = [
        load(path, ed25519.Ed25519PublicKey, serialization.load_pem_public_key) for path in trusted
    ]
    if private is None:
        return Keys(None, tuple(public))
    own = load(
        private,
        ed25519.Ed25519PrivateKey,
        lambda data: serialization.load_pem_private_key(data, None),
    )
    return Keys(own, (*public, own.public_key()))
