"""Prefect's clients, of which a worker and each run make several, share what they read of a file.

It takes 20 ms each time, for a context that a server without TLS never uses.
"""

from __future__ import annotations

import functools
import ssl
from typing import Any


def read_certificates_once() -> None:
    """Have contexts that are made of one file and nothing else be one from here on."""
    create = ssl.create_default_context

    @functools.cache
    def of_file(cafile: str) -> ssl.SSLContext:
        return create(cafile=cafile)

    def create_or_share(*args: Any, cafile: str | None = None, **others: Any) -> ssl.SSLContext:
        if cafile is None or args or others:
            return create(*args, cafile=cafile, **others)
        return of_file(cafile)

    ssl.create_default_context = create_or_share
