"""Bearer tokens and what they allow.

Configured by a file that ``PERENNIAL_TOKENS_FILE`` names, or by ``PERENNIAL_TOKENS`` itself, as
JSON: ``[{"name": "shop", "token": "...", "scopes": ["predict", "feedback"]}]``. In the place of
``token`` a ``sha256`` (hex) may stand, so that the file holds no secret. Scopes: ``predict``,
``feedback``, ``read`` (metadata, metrics, documentation) and ``admin`` (all of them). Liveness and
readiness need no token.

With an ``owner`` (all of them have one, or none has) the ids of a token's rows and labels are its
owner's own: they stand in the log as ``<owner>:<id>``, and a label finds rows of its owner only.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from perennial.errors import StackError

Scope = Literal["predict", "feedback", "read", "admin"]
FILE_VARIABLE = "PERENNIAL_TOKENS_FILE"
VARIABLE = "PERENNIAL_TOKENS"

_SHORTEST = 16
_OWNER = re.compile(r"[A-Za-z0-9_.-]{1,64}")


class _Entry(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    scopes: list[Scope]
    token: str | None = None
    sha256: str | None = None
    owner: str | None = None


class Denied(Exception):
    """A request may not do what it asks for; ``known``: its token is one of ours."""

    def __init__(self, *, known: bool) -> None:
        super().__init__()
        self.known = known


@dataclass(frozen=True)
class _Rights:
    scopes: frozenset[str]
    owner: str
    """What goes before the ids of its rows and labels."""


class Tokens:
    """The tokens of a server."""

    def __init__(self, rights: dict[bytes, _Rights]) -> None:
        self._rights = rights

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
        if len({entry.owner is None for entry in entries}) > 1:
            raise StackError(f"{origin}: give each token an owner, or none")
        return cls({_digest(entry, origin): _rights(entry, origin) for entry in entries})

    def check(self, authorization: str | None, scope: Scope) -> str:
        """See that a request may do what it asks for; takes the same time whatever was sent.

        Returns:
            What goes before the ids of its rows and labels: ``<owner>:``, or nothing.

        Raises:
            Denied: it has no token, an unknown one, or one without the scope.
        """
        sort, _, token = (authorization or "").partition(" ")
        given = hashlib.sha256(token.strip().encode("latin-1", "replace")).digest()
        found: _Rights | None = None
        for digest, rights in self._rights.items():
            if hmac.compare_digest(digest, given):
                found = rights
        if sort.lower() != "bearer" or found is None:
            raise Denied(known=False)
        if scope not in found.scopes and "admin" not in found.scopes:
            raise Denied(known=True)
        return found.owner


class TokensFile:
    """The file of the tokens, looked at again and again: whoever takes a token out of it, or puts
    one in, restarts nothing."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._stamp = self._look()

    def reread(self) -> Tokens | None:
        """Give the tokens where the file is another one than before; None: it is not, or there is
        none.

        Raises:
            StackError: it cannot be read, or holds no tokens: who may ask is not known then.
        """
        stamp = self._look()
        if stamp in (None, self._stamp):
            return None
        self._stamp = stamp
        tokens = Tokens.from_env(self._environ)
        if tokens is None:
            raise StackError(f"{FILE_VARIABLE}: {self._environ[FILE_VARIABLE]} holds no tokens")
        return tokens

    def _look(self) -> tuple[int, int] | None:
        file = self._environ.get(FILE_VARIABLE)
        try:
            found = Path(file).stat() if file else None
        except OSError:
            return None
        return None if found is None else (found.st_mtime_ns, found.st_ino)


def _rights(entry: _Entry, origin: str) -> _Rights:
    if entry.owner is None:
        return _Rights(frozenset(entry.scopes), "")
    if not _OWNER.fullmatch(entry.owner):
        raise StackError(
            f"{origin}: {entry.name}: an owner is of letters, digits, '.', '_' and '-'"
        )
    return _Rights(frozenset(entry.scopes), f"{entry.owner}:")


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
