"""``prefect server start`` with what mends four things that runs wait for.

Prefect begins its writing transactions as readers (BEGIN DEFERRED). One that has read when another
one commits cannot become a writer any more: SQLite says at once that the database is locked, no
timeout applies, the request is answered 503, and its client comes again seconds later. It met every
run that an event starts. Begun as writers (BEGIN IMMEDIATE, see
https://www.sqlite.org/lang_transaction.html) they wait instead. Readers outside of transactions
wait for nobody, as before.

SQLite's wait is no line: whoever finds the database locked sleeps, up to a tenth of a second at a
time, and whoever asks when it is free comes first. A request could wait for half a second beside a
few others. In this process writers stand in line, the first to come first.

And it answers a hundred requests at a time, among which it counts websockets for as long as they
are open. A run holds several, so with some thirty runs at once no request was answered any more,
nor could a run end. Only requests count here.

It also asks, whenever a run is created, three times whether the schema of its variables is one,
which takes as long as all the rest of it: 40 ms. A schema that was found to be one stays one.

On Postgres the first two change nothing. Arguments are those of the command ``prefect``.
"""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from weakref import WeakKeyDictionary

from prefect.server.api.server import RequestLimitMiddleware
from prefect.server.database.configurations import AioSqliteConfiguration
from prefect.utilities.schema_tools import validation

_begin = AioSqliteConfiguration.begin_transaction
_answer_limited = RequestLimitMiddleware.__call__


_PATIENCE = 10.0
"""Seconds in line; then a writer waits as SQLite has it, which ends with an error."""
_lines: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()


@asynccontextmanager
async def _begin_as_writer(
    config: AioSqliteConfiguration, session: Any, **_: Any
) -> AsyncIterator[Any]:
    line = _lines.setdefault(asyncio.get_running_loop(), asyncio.Lock())
    try:
        async with asyncio.timeout(_PATIENCE):
            in_line = await line.acquire()
    except TimeoutError:
        in_line = False
    try:
        async with _begin(config, session, with_for_update=True) as transaction:
            yield transaction
    finally:
        if in_line:
            line.release()


async def _answer(limit: RequestLimitMiddleware, scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "http":
        await _answer_limited(limit, scope, receive, send)
    else:
        await limit.app(scope, receive, send)


def wait_in_line() -> None:
    """Have all transactions of this process on SQLite begin as writers, one after the other."""
    AioSqliteConfiguration.begin_transaction = _begin_as_writer


def count_only_requests() -> None:
    """Let websockets stay open beside as many requests as are answered at a time."""
    RequestLimitMiddleware.__call__ = _answer


def check_schemas_once() -> None:
    """Check each schema against that of all schemas once, not at each use of it."""
    checked = validation._VALIDATOR.check_schema

    @functools.lru_cache(maxsize=256)
    def check(schema: str, options: tuple[tuple[str, Any], ...]) -> None:
        checked(json.loads(schema), **dict(options))

    def check_once(schema: Any, **options: Any) -> None:
        check(json.dumps(schema, sort_keys=True), tuple(sorted(options.items())))

    validation._VALIDATOR.check_schema = staticmethod(check_once)


if __name__ == "__main__":
    from prefect.cli import app

    wait_in_line()
    count_only_requests()
    check_schemas_once()
    app()
