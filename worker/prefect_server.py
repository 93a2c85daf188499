"""``prefect server start`` with two things mended that many runs at once meet on SQLite.

Prefect begins its writing transactions as readers (BEGIN DEFERRED). One that has read when another
one commits cannot become a writer any more: SQLite says at once that the database is locked, no
timeout applies, the request is answered 503, and its client comes again seconds later. It met every
run that an event starts. Begun as writers (BEGIN IMMEDIATE, see
https://www.sqlite.org/lang_transaction.html) they stand in line instead. Readers outside of
transactions wait for nobody, as before.

And it answers a hundred requests at a time, among which it counts websockets for as long as they
are open. A run holds several, so with some thirty runs at once no request was answered any more,
nor could a run end. Only requests count here.

On Postgres nothing changes. Arguments are those of the command ``prefect``.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Any

from prefect.server.api.server import RequestLimitMiddleware
from prefect.server.database.configurations import AioSqliteConfiguration

_begin = AioSqliteConfiguration.begin_transaction
_answer_limited = RequestLimitMiddleware.__call__


def _begin_as_writer(
    config: AioSqliteConfiguration, session: Any, **_: Any
) -> AbstractAsyncContextManager[Any]:
    return _begin(config, session, with_for_update=True)


async def _answer(limit: RequestLimitMiddleware, scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "http":
        await _answer_limited(limit, scope, receive, send)
    else:
        await limit.app(scope, receive, send)


def wait_in_line() -> None:
    """Have all transactions of this process on SQLite begin as writers."""
    AioSqliteConfiguration.begin_transaction = _begin_as_writer


def count_only_requests() -> None:
    """Let websockets stay open beside as many requests as are answered at a time."""
    RequestLimitMiddleware.__call__ = _answer


if __name__ == "__main__":
    from prefect.cli import app

    wait_in_line()
    count_only_requests()
    app()
