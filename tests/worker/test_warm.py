"""The warm process: it forks, says how children end, and is replaced when it dies or goes stale."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from contextlib import asynccontextmanager

import psutil
import pytest

from perennial.local.processes import ProcessId
from worker.warm import ForkFailed, WarmProcess

pytestmark = pytest.mark.servers

INVALID_RUN = {"PREFECT__FLOW_RUN_ID": "no-uuid"}
"""Prefect's engine ends with code 1 at once."""


@pytest.fixture
def hanging():
    """An environment in which the engine waits for a Prefect server that never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=50) as server:
        yield {
            "PREFECT__FLOW_RUN_ID": "00000000-0000-0000-0000-000000000001",
            "PREFECT_API_URL": f"http://127.0.0.1:{server.getsockname()[1]}/api",
        }


@pytest.fixture
def environment():
    return dict(os.environ)


@asynccontextmanager
async def warm_process(preload=("json",), folders=()):
    warm = WarmProcess(preload=lambda: list(preload), folders=lambda: list(folders), grace=0.5)
    try:
        yield warm
    finally:
        await warm.stop()


async def fork(warm, environment, tmp_path):
    async with warm.server() as server:
        return server, await server.fork(environment, tmp_path, stream_output=False)


async def gone(process):
    for _ in range(500):
        if process.find() is None:
            return True
        await asyncio.sleep(0.02)
    return False


def test_a_child_has_its_own_group_and_its_exit_code_comes_back(environment, tmp_path):
    async def scenario():
        async with warm_process() as warm:
            _, child = await fork(warm, {**environment, **INVALID_RUN}, tmp_path)
            group = os.getpgid(child.pid)
            await asyncio.wait_for(child.exited.wait(), 30)
            return child, group

    child, group = asyncio.run(scenario())
    assert child.returncode == 1
    assert group == child.pid != os.getpgid(0)


def test_a_child_that_is_killed_is_reported_with_its_signal(environment, hanging, tmp_path):
    async def scenario():
        async with warm_process() as warm:
            _, child = await fork(warm, {**environment, **hanging}, tmp_path)
            os.killpg(child.pid, signal.SIGKILL)
            await asyncio.wait_for(child.exited.wait(), 30)
            return child.returncode

    assert asyncio.run(scenario()) == -signal.SIGKILL


def test_the_server_takes_its_children_along_when_it_is_killed(environment, hanging, tmp_path):
    async def scenario():
        async with warm_process() as warm:
            first, child = await fork(warm, {**environment, **hanging}, tmp_path)
            process = ProcessId.of(child.pid)
            psutil.Process(first._process.pid).kill()
            await asyncio.wait_for(child.exited.wait(), 10)
            assert await gone(process)
            assert not first.alive
            second, again = await fork(warm, {**environment, **INVALID_RUN}, tmp_path)
            await asyncio.wait_for(again.exited.wait(), 30)
            return child.returncode, again.returncode, second is first

    assert asyncio.run(scenario()) == (-signal.SIGKILL, 1, False)


def test_a_dead_server_refuses(environment, tmp_path):
    async def scenario():
        async with warm_process() as warm, warm.server() as server:
            psutil.Process(server._process.pid).kill()
            await server.ended.wait()
            await server.fork(environment, tmp_path, stream_output=False)

    with pytest.raises(ForkFailed, match="died"):
        asyncio.run(scenario())


def test_changed_code_gets_a_new_server_and_running_children_keep_theirs(
    environment, hanging, tmp_path
):
    source = tmp_path / "flow.py"
    source.write_text("")

    async def scenario():
        async with warm_process(folders=[tmp_path]) as warm:
            async with warm.server() as first:
                child = await first.fork({**environment, **hanging}, tmp_path, stream_output=False)
                assert await warm.ensure() is first
                source.write_text("changed = True\n")
                second = await warm.ensure()
                assert second is not first
                assert first.alive
                assert ProcessId.of(child.pid).find() is not None
                os.killpg(child.pid, signal.SIGKILL)
                await child.exited.wait()
            await asyncio.wait_for(first.ended.wait(), 10)
            assert second.alive

    asyncio.run(scenario())


def test_no_child_outlives_the_worker(environment, hanging, tmp_path):
    async def scenario():
        async with warm_process() as warm:
            _, child = await fork(warm, {**environment, **hanging}, tmp_path)
            return ProcessId.of(child.pid)

    assert asyncio.run(scenario()).find() is None


def test_a_server_with_a_second_thread_never_forks(environment, tmp_path, monkeypatch):
    module = tmp_path / "threaded.py"
    module.write_text(
        "import threading, time\n"
        "threading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    async def scenario():
        async with warm_process(preload=["threaded"]) as warm, warm.server() as server:
            assert server.threads == 2
            await server.fork(environment, tmp_path, stream_output=False)

    with pytest.raises(ForkFailed, match="2 threads"):
        asyncio.run(scenario())


def test_a_module_that_cannot_be_imported_stops_nothing(environment, tmp_path):
    async def scenario():
        async with warm_process(preload=["no_such_module", "json"]) as warm:
            _, child = await fork(warm, {**environment, **INVALID_RUN}, tmp_path)
            await asyncio.wait_for(child.exited.wait(), 30)
            return child.returncode

    assert asyncio.run(scenario()) == 1


@pytest.mark.slow
def test_memory_does_not_grow_over_a_thousand_runs(environment, tmp_path):
    """Children end at once: what could grow is the server that forks them, and the worker."""
    nowhere = tmp_path / "nowhere"

    async def scenario():
        sizes = []
        async with warm_process(preload=["prefect.engine"]) as warm:
            for number in range(1001):
                server, child = await fork(warm, environment, nowhere)
                await asyncio.wait_for(child.exited.wait(), 30)
                assert child.returncode == 1
                if number % 200 == 0:
                    pids = (server._process.pid, os.getpid())
                    sizes.append([psutil.Process(p).memory_full_info().uss for p in pids])
        return sizes

    sizes = asyncio.run(scenario())
    for settled, last in zip(sizes[1], sizes[-1], strict=True):
        assert last - settled < 2 * 2**20, sizes
