"""What runs share: a cancellation that fails ends its own run, and the context is opened anew."""

import asyncio
from uuid import uuid4

import pytest

import worker.attempts
from worker.attempts import Attempts, SharedContext


class Manager:
    async def cancel_by_id(self, flow_run_id):
        raise ConnectionError("the server is away")


class Killed:
    def __init__(self):
        self.runs = []

    async def kill(self, flow_run_id):
        self.runs.append(flow_run_id)


@pytest.fixture
def opened(monkeypatch):
    """Every context that was opened; Prefect's own part, which needs a server, is left out."""
    contexts = []

    async def enter(self):
        contexts.append(self)
        self._cancellation_manager, self.process_manager = Manager(), Killed()
        return self

    async def leave(self, *_error):
        return None

    monkeypatch.setattr(worker.attempts.FlowRunExecutorContext, "__aenter__", enter)
    monkeypatch.setattr(worker.attempts.FlowRunExecutorContext, "__aexit__", leave)
    return contexts


def test_all_runs_share_one_context_until_the_end(opened):
    async def play():
        attempts = Attempts()
        first, second = await asyncio.gather(attempts.context(), attempts.context())
        assert first is second
        assert isinstance(first, SharedContext)
        await attempts.close()

    asyncio.run(play())
    assert len(opened) == 1


def test_one_that_broke_is_opened_anew(opened):
    async def play():
        attempts = Attempts()
        first = await attempts.context()
        attempts._keeper.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert await attempts.context() is not first
        await attempts.close()

    asyncio.run(play())


def test_a_cancellation_that_fails_ends_its_run_and_raises_nothing(opened):
    async def play():
        attempts = Attempts()
        context = await attempts.context()
        run = uuid4()
        await context._cancellation_manager.cancel_by_id(run)
        assert context.process_manager.runs == [run]
        await attempts.close()

    asyncio.run(play())
