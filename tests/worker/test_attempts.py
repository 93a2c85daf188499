"""What runs share: a cancellation that fails ends its own run, and the context is opened anew."""

import asyncio
import logging
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
        self._logger = logging.getLogger("test")
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


async def break_off(attempts, _context):
    attempts._keepers[-1].cancel()
    await asyncio.gather(*attempts._keepers, return_exceptions=True)


async def grow_deaf(_attempts, context):
    context._handle_cancellation_observer_failure({uuid4()})


@pytest.mark.parametrize("fault", [break_off, grow_deaf])
def test_after_a_fault_the_next_run_opens_it_anew(opened, fault):
    async def play():
        attempts = Attempts()
        first = await attempts.context()
        await fault(attempts, first)
        second = await attempts.context()
        assert second is not first
        assert await attempts.context() is second
        await attempts.close()

    asyncio.run(play())
    assert len(opened) == 2


def test_a_cancellation_that_fails_ends_its_run_and_raises_nothing(opened):
    async def play():
        attempts = Attempts()
        context = await attempts.context()
        run = uuid4()
        await context._cancellation_manager.cancel_by_id(run)
        assert context.process_manager.runs == [run]
        await attempts.close()

    asyncio.run(play())
