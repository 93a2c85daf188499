"""``prefect server start``, whose writing transactions wait for one another on SQLite.

Prefect begins them as readers (BEGIN DEFERRED). One that has read when another one commits cannot
become a writer any more: SQLite says at once that the database is locked, no timeout applies, the
request is answered 503, and its client comes again seconds later. It met every run that an event
starts. Begun as writers (BEGIN IMMEDIATE, https://www.sqlite.org/lang_transaction.html) they stand
in line instead. Readers outside of transactions wait for nobody, as before. On Postgres nothing
changes. Arguments are those of the command ``prefect``.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Any

from prefect.server.database.configurations import AioSqliteConfiguration

_begin = AioSqliteConfiguration.begin_transaction


def _begin_as_writer(
    config: AioSqliteConfiguration, session: Any, **_: Any
) -> AbstractAsyncContextManager[Any]:
    return _begin(config, session, with_for_update=True)


def wait_in_line() -> None:
    """Have all transactions of this process on SQLite begin as writers."""
    AioSqliteConfiguration.begin_transaction = _begin_as_writer


if __name__ == "__main__":
    from prefect.cli import app

    wait_in_line()
    app()
