"""The worker: Prefect's process worker, with a fork in the place of a new Python."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import tempfile
import time
from pathlib import Path
from typing import Any
from uuid import UUID

import anyio
import anyio.abc
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import InfrastructureNotAvailable, InfrastructureNotFound
from prefect.flows import load_flow_from_flow_run
from prefect.runner._flow_run_executor import FlowRunExecutionResult
from prefect.runner._process_manager import ProcessHandle
from prefect.settings import get_current_settings
from prefect.workers.process import ProcessJobConfiguration, ProcessWorker, ProcessWorkerResult

from perennial.local.processes import signal_group
from worker.attempts import Attempts
from worker.certificates import read_certificates_once
from worker.hanging import Children
from worker.identity import Identity
from worker.memory import remembered
from worker.recovery import crash_lost_runs
from worker.starter import ForkConfiguration, ForkStarter
from worker.waking import Waking
from worker.warm import ServerProcess, WarmProcess

_LABELS_AFTER = 1.0
_SAME_FLOW = 60.0


class ForkWorker(ProcessWorker):
    """Runs each flow run in a child forked from a process that has the heavy imports done."""

    type = "perennial-fork"
    job_configuration = ForkConfiguration
    _display_name = "Perennial fork"
    _description = (
        "Execute flow runs as forks of a process in which the heavy imports are done:"
        " isolated like subprocesses, and at their first line in about a second."
    )
    _documentation_url = ""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._warm: WarmProcess | None = None
        self._recovered = False
        self._children = Children()
        self._attempts = Attempts()
        self._waking: asyncio.Task[None] | None = None

    async def setup(self) -> None:
        """Have the warm process begin its imports, then set up as every worker."""
        if (get_current_settings().api.url or "").startswith("http://"):
            read_certificates_once()
        self._warm = WarmProcess()
        await self._warm.ensure()
        await super().setup()
        # A submission reads the one twice in a row; of the other it wants what never changes.
        self.client.read_deployment = remembered(self.client.read_deployment)  # type: ignore[method-assign]
        self.client.read_flow = remembered(self.client.read_flow, seconds=_SAME_FLOW)  # type: ignore[method-assign]
        self._waking = asyncio.create_task(Waking(self.get_and_submit_flow_runs).watch())

    async def _initialize_after_sync(self) -> None:
        """See to runs that have no process: before the first is taken, what an earlier worker left;
        at each heartbeat, those whose end could not be told because the server was away, and
        processes that hang."""
        if self._work_pool is not None:
            mine = None if self._recovered else self.name
            await crash_lost_runs(self.client, self._work_pool_name, mine)
            self._recovered = True
            await self._children.end_hanging(self.client)
        await super()._initialize_after_sync()

    async def teardown(self, *exc_info: Any) -> None:
        """End the runs in Prefect's way, then what they shared and the warm process."""
        if self._waking is not None:
            self._waking.cancel()
        try:
            await super().teardown(*exc_info)
        finally:
            with anyio.CancelScope(shield=True):
                await self._attempts.close()
                if self._warm is not None:
                    await self._warm.stop()

    async def _propose_submitting_state(self, flow_run: FlowRun) -> None:
        """A fork is no submission that a person would wait for: from Pending it goes on to Running
        without another word to the server."""

    async def _give_worker_labels_to_flow_run(self, flow_run_id: UUID) -> None:
        """The process does not wait for labels, nor do its own requests stand behind them."""
        give = super()._give_worker_labels_to_flow_run

        async def later() -> None:
            await asyncio.sleep(_LABELS_AFTER)
            await give(flow_run_id)

        assert self._runs_task_group is not None
        self._runs_task_group.start_soon(later)

    async def run(
        self,
        flow_run: FlowRun,
        configuration: ForkConfiguration,
        task_status: anyio.abc.TaskStatus[Any] | None = None,
    ) -> ProcessWorkerResult:
        """Run one flow run to its end.

        One with a command of its own gets a new process, as from Prefect's own worker; so do all
        where something that was imported has started a thread.
        """
        assert self._warm is not None
        async with self._warm.server() as server:
            if not configuration._command_configured and server.threads == 1:
                return await self._fork(server, flow_run, configuration, task_status)
        return await super().run(flow_run, configuration, task_status)

    async def _fork(
        self,
        server: ServerProcess,
        flow_run: FlowRun,
        configuration: ForkConfiguration,
        task_status: anyio.abc.TaskStatus[Any] | None,
    ) -> ProcessWorkerResult:
        place = (
            contextlib.nullcontext(configuration.working_dir)
            if configuration.working_dir
            else tempfile.TemporaryDirectory(suffix="perennial")
        )
        with place as directory:
            execution = await self._execute(
                server, flow_run, configuration, Path(directory).resolve(), task_status
            )
        if execution is None or execution.status_code is None:
            raise RuntimeError("the flow run's process could not be started")
        return ProcessWorkerResult(
            status_code=execution.status_code, identifier=str(execution.handle.pid)
        )

    async def _execute(
        self,
        server: ServerProcess,
        flow_run: FlowRun,
        configuration: ForkConfiguration,
        directory: Path,
        task_status: anyio.abc.TaskStatus[Any] | None,
    ) -> FlowRunExecutionResult | None:
        execution: FlowRunExecutionResult | None = None
        context = await self._attempts.context()
        executor = context.create_executor(
            flow_run,
            ForkStarter(server, configuration, directory, context.control_channel),
            resolve_flow=load_flow_from_flow_run,
            propose_submitting=False,
        )

        async def execute(
            *, task_status: anyio.abc.TaskStatus[ProcessHandle] = anyio.TASK_STATUS_IGNORED
        ) -> None:
            nonlocal execution
            execution = await executor.submit(task_status=task_status)

        async with anyio.create_task_group() as group:
            handle = await group.start(execute)
            identity = Identity.of(handle.pid)
            self._children.add(flow_run.id, identity)
            if task_status is not None:
                task_status.started(str(identity))
        self._children.remove(flow_run.id)
        return execution

    async def kill_infrastructure(
        self,
        infrastructure_pid: str,
        configuration: ProcessJobConfiguration,  # noqa: ARG002 -- the base class names it
        grace_seconds: int = 30,
    ) -> None:
        """End a flow run's process group: SIGTERM, then SIGKILL after the grace.

        Raises:
            InfrastructureNotAvailable: it runs on another machine.
            InfrastructureNotFound: it has ended.
        """
        try:
            identity = Identity.parse(infrastructure_pid)
        except ValueError:
            raise InfrastructureNotAvailable(
                f"process {infrastructure_pid} was not forked by a worker of this type"
            ) from None
        if identity.host != socket.gethostname():
            raise InfrastructureNotAvailable(
                f"process {infrastructure_pid} runs on {identity.host}, not on this machine"
            )
        if not identity.is_alive():
            raise InfrastructureNotFound(f"process {infrastructure_pid} has ended")
        await anyio.to_thread.run_sync(_end_group, identity, grace_seconds)


def _end_group(identity: Identity, grace_seconds: float) -> None:
    signal_group(identity.process.pid, signal.SIGTERM)
    deadline = time.monotonic() + grace_seconds
    while identity.is_alive():
        if time.monotonic() > deadline:
            signal_group(identity.process.pid, signal.SIGKILL)
            return
        time.sleep(0.1)
