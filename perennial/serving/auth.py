"""Bearer tokens and what they allow.

Configured by a file that ``PERENNIAL_TOKENS_FILE`` names, or by ``PERENNIAL_TOKENS`` itself, as
JSON: ``[{"name": "shop", "token": "...", "scopes": ["predict", "feedback"]}]``. In the place of
``token`` a ``sha256`` (hex) may stand, so that the file holds no secret. Scopes: ``predict``,
``feedback``, ``read`` (metadata, metrics, documentation) and ``admin`` (all of them). Liveness and
readiness need no token.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Literal

import msgspec

from perennial.errors import StackError
from perennial.serving.http import HttpError

Scope = Literal["predict", "feedback", "read", "admin"]
FILE_VARIABLE = "PERENNIAL_TOKENS_FILE"
VARIABLE = "PERENNIAL_TOKENS"

_SHORTEST = 16
_LONGEST_NAME = 300


class _Entry(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    scopes: list[Scope]
    token: str | None = None
    sha256: str | None = None


class Denied(Exception):
    """A request may not do what it asks for; ``known``: its token is one of ours."""

    def __init__(self, *, known: bool) -> None:
        super().__init__()
        self.known = known


class Tokens:
    """The tokens of a server."""

    def __init__(self, scopes: dict[bytes, frozenset[str]]) -> None:
        self._scopes = scopes

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Tokens | None:
        """Read the configured tokens; None where there are none.

        Raises:
            StackError: they cannot be read.
        """
        file = environ.get(FILE_VARIABLE)
        origin = FILE_VARIABLE if file else VARIABLE
        try:
            text = Path(file).read_bytes() if file else environ.get(VARIABLE, "").encode()
            if not text.strip():
                return None
            entries = msgspec.json.decode(text, type=list[_Entry])
        except OSError as error:
            raise StackError(f"{origin}: {file} cannot be read: {error.strerror}") from None
        except msgspec.DecodeError as error:
            raise StackError(f"{origin}: {error}") from None
        return cls({_digest(entry, origin): frozenset(entry.scopes) for entry in entries})

    def check(self, authorization: str | None, scope: Scope) -> None:
        """See that a request may do what it asks for; takes the same time whatever was sent.

        Raises:
            Denied: it has no token, an unknown one, or one without the scope.
        """
        sort, _, token = (authorization or "").partition(" ")
        given = hashlib.sha256(token.strip().encode("latin-1", "replace")).digest()
        allowed: frozenset[str] | None = None
        for digest, scopes in self._scopes.items():
            if hmac.compare_digest(digest, given):
                allowed = scopes
        if sort.lower() != "bearer" or allowed is None:
            raise Denied(known=False)
        if scope not in allowed and "admin" not in allowed:
            raise Denied(known=True)


@lru_cache(maxsize=64)
def _is_this_machine(name: str) -> bool:
    host = name.partition("://")[2] or name
    host = host[: host.find("]")].lstrip("[") if host.startswith("[") else host.partition(":")[0]
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_local(host: str | None, origin: str | None) -> None:
    """See that no web page asks: for a server that asks for no token, and so for whoever is on its
    machine. A page names its origin, or a name of its own for this machine as the host.

    Args:
        host, origin: the headers of these names.

    Raises:
        HttpError: 403, one of them names another machine.
    """
    for header, value in (("Host", host), ("Origin", origin)):
        if value is not None and not (len(value) < _LONGEST_NAME and _is_this_machine(value)):
            raise HttpError(
                403,
                f"{header} {value[:100]!r} is not this machine, and this server asks for no token: "
                f"ask it as localhost, or give it tokens ({FILE_VARIABLE})",
            )


def _digest(entry: _Entry, origin: str) -> bytes:
    if (entry.token is None) == (entry.sha256 is None):
        raise StackError(f"{origin}: {entry.name}: give token or sha256, one of them")
    if entry.token is not None:
        if len(entry.token) < _SHORTEST:
            raise StackError(f"{origin}: {entry.name}: a token has at least {_SHORTEST} characters")
        return hashlib.sha256(entry.token.encode()).digest()
    try:
        digest = bytes.fromhex(entry.sha256 or "")
    except ValueError:
        digest = b""
    if len(digest) != hashlib.sha256().digest_size:
        raise StackError(f"{origin}: {entry.name}: sha256 must be 64 hex digits")
    return digest
