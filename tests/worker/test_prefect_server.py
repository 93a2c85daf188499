"""Prefect's server on SQLite while many runs are about."""

from __future__ import annotations

import asyncio

import pytest
from prefect.server.api.server import RequestLimitMiddleware
from prefect.server.database.configurations import AioSqliteConfiguration
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from worker.prefect_server import count_only_requests, wait_in_line


async def _race(url: str) -> int:
    config = AioSqliteConfiguration(connection_url=url)
    engine = await config.engine()

    async def write(begun: asyncio.Event, before_it: asyncio.Event, number: int) -> None:
        session = await config.session(engine)
        async with session, config.begin_transaction(session):
            await session.execute(text("SELECT count(*) FROM rows"))
            begun.set()
            # The other one has read, too; or it cannot, and waits for this one.
            await asyncio.wait({asyncio.create_task(before_it.wait())}, timeout=0.3)
            await session.execute(text(f"INSERT INTO rows VALUES ({number})"))

    async with engine.begin() as connection:
        await connection.execute(text("CREATE TABLE rows (number INTEGER)"))
    events = asyncio.Event(), asyncio.Event()
    try:
        await asyncio.gather(write(*events, 1), write(*reversed(events), 2))
        async with engine.connect() as connection:
            return (await connection.execute(text("SELECT count(*) FROM rows"))).scalar_one()
    finally:
        await engine.dispose()


@pytest.fixture
def url(tmp_path, monkeypatch):
    monkeypatch.setattr(
        AioSqliteConfiguration, "begin_transaction", AioSqliteConfiguration.begin_transaction
    )
    return f"sqlite+aiosqlite:///{tmp_path}/prefect.db"


def test_of_two_that_have_read_one_is_refused(url):
    with pytest.raises(OperationalError, match="database is locked"):
        asyncio.run(_race(url))


def test_in_line_both_write(url):
    wait_in_line()
    assert asyncio.run(_race(url)) == 2


async def _answered_beside_websockets() -> list[str]:
    answered, open_ended = [], asyncio.Event()

    async def app(scope, receive, send):
        if scope["type"] == "websocket":
            await open_ended.wait()
        answered.append(scope["type"])

    limited = RequestLimitMiddleware(app, limit=2)
    sockets = [asyncio.create_task(limited({"type": "websocket"}, None, None)) for _ in range(3)]
    await asyncio.sleep(0)
    request = asyncio.create_task(limited({"type": "http"}, None, None))
    await asyncio.wait({request}, timeout=0.2)
    seen = list(answered)
    open_ended.set()
    await asyncio.gather(request, *sockets)
    return seen


def test_websockets_take_no_place_of_a_request(monkeypatch):
    monkeypatch.setattr(RequestLimitMiddleware, "__call__", RequestLimitMiddleware.__call__)
    assert asyncio.run(_answered_beside_websockets()) == []
    count_only_requests()
    assert asyncio.run(_answered_beside_websockets()) == ["http"]
