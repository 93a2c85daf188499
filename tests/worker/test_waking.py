"""A worker looks when a run is scheduled, and goes on whatever becomes of events and looks."""

import asyncio
from contextlib import asynccontextmanager

import pytest

import worker.waking
from worker.waking import Waking


@pytest.fixture
def streams(monkeypatch):
    """What the server's event streams do, one after the other: events, or an error at the end."""
    opened = []

    @asynccontextmanager
    async def subscriber(_filter, reconnection_attempts):
        assert reconnection_attempts == 0
        queue = asyncio.Queue()
        opened.append(queue)

        async def events():
            while True:
                event = await queue.get()
                if isinstance(event, Exception):
                    raise event
                yield event

        yield events()

    monkeypatch.setattr(worker.waking, "get_events_subscriber", subscriber)
    monkeypatch.setattr(worker.waking, "AGAIN_AFTER", 0.01)
    return opened


async def until(what):
    async with asyncio.timeout(5):
        while not what():
            await asyncio.sleep(0.001)


def watched(body, look):
    async def play():
        task = asyncio.create_task(Waking(look).watch())
        await body()
        task.cancel()

    asyncio.run(play())


def test_each_scheduled_run_is_looked_for_and_many_at_once_are_one_look(streams):
    looks = []

    async def look():
        looks.append(1)

    async def body():
        await until(lambda: streams)
        for _ in range(50):
            streams[0].put_nowait("scheduled")
        await until(lambda: looks)
        await asyncio.sleep(3 * worker.waking.APART)
        assert len(looks) <= 2
        seen = len(looks)
        streams[0].put_nowait("scheduled")
        await until(lambda: len(looks) > seen)

    watched(body, look)


def test_a_stream_that_breaks_is_opened_again_and_a_look_that_fails_is_not_the_last(streams):
    looks = []

    async def look():
        looks.append(1)
        raise OSError("the server is away")

    async def body():
        await until(lambda: streams)
        streams[0].put_nowait(ConnectionError("gone"))
        await until(lambda: len(streams) == 2)
        for count in (1, 2):
            streams[1].put_nowait("scheduled")
            await until(lambda count=count: len(looks) >= count)
            await asyncio.sleep(2 * worker.waking.APART)

    watched(body, look)
