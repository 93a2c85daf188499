"""Prefect's server on SQLite while many runs are about."""

from __future__ import annotations

import asyncio

import pytest
from prefect.server.api.server import RequestLimitMiddleware
from prefect.server.database.configurations import AioSqliteConfiguration
from prefect.utilities.schema_tools import ValidationError, validation
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from worker import prefect_server
from worker.prefect_server import check_schemas_once, count_only_requests, wait_in_line


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


async def _order_of_writers(url: str, writers: int) -> list[int]:
    config = AioSqliteConfiguration(connection_url=url)
    engine = await config.engine()
    done: list[int] = []

    async def write(number: int) -> None:
        session = await config.session(engine)
        async with session, config.begin_transaction(session):
            await session.execute(text(f"INSERT INTO rows VALUES ({number})"))
            await asyncio.sleep(0.02)
            done.append(number)

    async with engine.begin() as connection:
        await connection.execute(text("CREATE TABLE rows (number INTEGER)"))
    try:
        await asyncio.gather(*(write(number) for number in range(writers)))
    finally:
        await engine.dispose()
    return done


def test_writers_are_served_in_the_order_in_which_they_came(url):
    wait_in_line()
    assert asyncio.run(_order_of_writers(url, 20)) == list(range(20))


async def _with_one_that_does_not_end(url: str) -> int:
    config = AioSqliteConfiguration(connection_url=url)
    engine = await config.engine()
    first, second = await config.session(engine), await config.session(engine)
    try:
        async with (
            first,
            second,
            config.begin_transaction(first),
            config.begin_transaction(second),
        ):
            return (await second.execute(text("SELECT 1"))).scalar_one()
    finally:
        await engine.dispose()


def test_a_line_that_does_not_move_is_left(url, monkeypatch):
    wait_in_line()
    monkeypatch.setattr(prefect_server, "_PATIENCE", 0.05)
    assert asyncio.run(_with_one_that_does_not_end(url)) == 1


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


def test_a_schema_is_checked_once_and_a_wrong_one_each_time(monkeypatch):
    asked = []
    check = validation._VALIDATOR.check_schema

    def counted(schema, **options):
        asked.append(schema)
        check(schema, **options)

    monkeypatch.setattr(validation._VALIDATOR, "check_schema", counted)
    check_schemas_once()
    right, wrong = {"type": "object", "properties": {"x": {"type": "string"}}}, {"type": 7}
    for _ in range(3):
        validation.is_valid_schema(right, preprocess=False)
        validation.validate({"x": "text"}, right, raise_on_error=True, preprocess=False)
        with pytest.raises(ValueError, match="Invalid schema"):
            validation.is_valid_schema(wrong, preprocess=False)
    # Once with the formats that it may name, and once without.
    assert asked.count(right) == 2
    assert asked.count(wrong) == 3
    with pytest.raises(ValidationError):
        validation.validate({"x": 1}, right, raise_on_error=True, preprocess=False)
