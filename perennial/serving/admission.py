"""Who may ask: the bearer of a token, or, where there are none, whoever is on this machine."""

from __future__ import annotations

import ipaddress
from functools import lru_cache

from perennial.serving.auth import FILE_VARIABLE, Denied, Scope, Tokens
from perennial.serving.http import HttpError

_LONGEST_NAME = 300
_NAMES = (b"host", b"origin")


class Admission:
    """Lets requests in.

    Args:
        tokens: who may do what; None: everybody on this machine may do everything.
    """

    def __init__(self, tokens: Tokens | None) -> None:
        self._tokens = tokens

    @property
    def needs_token(self) -> bool:
        """Whether there are tokens."""
        return self._tokens is not None

    def replace(self, tokens: Tokens) -> None:
        """Go by other tokens from now on."""
        self._tokens = tokens

    def admit(self, headers: dict[bytes, bytes], scope: Scope | None) -> str:
        """See that a request may do what it asks for.

        Args:
            headers: names in lower case.
            scope: None: anybody may.

        Returns:
            What goes before the ids of its rows and labels: ``<owner>:``, or nothing.

        Raises:
            HttpError: 401 or 403.
        """
        if scope is None:
            return ""
        if self._tokens is None:
            for header in _NAMES:
                name = headers.get(header)
                if name is not None and not (len(name) < _LONGEST_NAME and _is_this_machine(name)):
                    raise _not_here(header, name)
            return ""
        try:
            return self._tokens.check(_text(headers, b"authorization"), scope)
        except Denied as denied:
            if denied.known:
                raise HttpError(403, f"this token lacks the scope {scope}") from None
            message = "send a token: Authorization: Bearer <token>"
            raise HttpError(401, message, ("WWW-Authenticate", "Bearer")) from None

    def may_read(self, headers: dict[bytes, bytes]) -> bool:
        """Tell whether a request may see what is served."""
        try:
            self.admit(headers, "read")
        except HttpError:
            return False
        return True


def _text(headers: dict[bytes, bytes], name: bytes) -> str | None:
    value = headers.get(name)
    return None if value is None else value.decode("latin-1")


@lru_cache(maxsize=64)
def _is_this_machine(name: bytes) -> bool:
    """Tell whether a Host, or an Origin, names this machine."""
    text = name.decode("latin-1")
    host = text.partition("://")[2] or text
    host = host[: host.find("]")].lstrip("[") if host.startswith("[") else host.partition(":")[0]
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _not_here(header: bytes, name: bytes) -> HttpError:
    """Refuse a web page: it names its origin, or has a name of its own for this machine."""
    return HttpError(
        403,
        f"{header.decode().capitalize()} {name[:100].decode('latin-1')!r} is not this machine, and "
        f"this server asks for no token: ask it as localhost, or give it tokens ({FILE_VARIABLE})",
    )
