"""Who may ask: the bearer of a token, or, where there are none, whoever is on this machine."""

from __future__ import annotations

import ipaddress
from functools import lru_cache

from perennial.serving.auth import FILE_VARIABLE, Denied, Scope, Tokens
from perennial.serving.http import HttpError

_LONGEST_NAME = 300


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
            check_local(_text(headers, b"host"), _text(headers, b"origin"))
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
