"""How one flow run is started in a fork: where its code lies, what its process is told."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import anyio
import anyio.abc
from prefect.client.schemas.objects import FlowRun
from prefect.runner._control_channel import ControlChannel
from prefect.runner._process_manager import ProcessHandle, create_isolated_termination_scope
from prefect.settings import get_current_settings
from prefect.utilities.processutils import sanitize_subprocess_env
from prefect.workers.process import ProcessJobConfiguration
from pydantic import PrivateAttr

from worker.warm import ServerProcess

if TYPE_CHECKING:
    from prefect.client.schemas.responses import DeploymentResponse

_GO_THERE = "prefect.deployments.steps.set_working_directory"


@functools.cache
def _settings() -> Mapping[str, str]:
    """Prefect's settings as variables: they stay while a worker lives, and take 40 ms to write."""
    return get_current_settings().to_environment_variables(exclude_unset=True)


class ForkConfiguration(ProcessJobConfiguration):
    """That of a process, and where its flow's code lies if it need not be fetched."""

    _place: Path | None = PrivateAttr(default=None)
    _entrypoint: str | None = PrivateAttr(default=None)

    def prepare_for_flow_run(
        self,
        flow_run: FlowRun,
        deployment: DeploymentResponse | None = None,
        *more: Any,
        **named: Any,
    ) -> None:
        """Note where the code is if it is here: the child then need not ask the server for the
        deployment and run its steps, of which there is one, to go there."""
        super().prepare_for_flow_run(flow_run, deployment, *more, **named)
        if deployment is None or ":" not in (deployment.entrypoint or ""):
            return
        steps = deployment.pull_steps or []
        if [[*step] for step in steps] != [[_GO_THERE]] or [*steps[0][_GO_THERE]] != ["directory"]:
            return
        place = Path(steps[0][_GO_THERE]["directory"])
        if place.is_absolute() and place.is_dir():
            self._place, self._entrypoint = place, deployment.entrypoint

    @classmethod
    def _base_environment(cls) -> dict[str, str]:
        return dict(_settings())

    @property
    def place(self) -> str | None:
        """The folder that the entrypoint counts from."""
        return None if self._place is None else str(self._place)

    @property
    def located(self) -> dict[str, str]:
        """What tells Prefect's engine that the flow need not be looked for."""
        return {} if self._entrypoint is None else {"PREFECT__FLOW_ENTRYPOINT": self._entrypoint}


class ForkStarter:
    """Starts a flow run in a fork of the warm process.

    The counterpart of `prefect.runner._starter_engine.EngineCommandStarter`, and true to it.
    """

    def __init__(
        self,
        server: ServerProcess,
        configuration: ForkConfiguration,
        directory: Path,
        control_channel: ControlChannel,
    ) -> None:
        self._server = server
        self._configuration = configuration
        self._directory = directory
        self._control_channel = control_channel

    async def start(
        self,
        flow_run: FlowRun,
        task_status: anyio.abc.TaskStatus[ProcessHandle] = anyio.TASK_STATUS_IGNORED,
    ) -> None:
        """Fork, hand over the handle, and wait until the child has ended."""
        registered = self._register(flow_run)
        try:
            child = await self._server.fork(
                self._environment(flow_run, registered),
                self._directory,
                stream_output=self._configuration.stream_output,
                place=self._configuration.place,
            )
        except BaseException:
            self._control_channel.unregister(flow_run.id)
            raise
        scope = create_isolated_termination_scope(child.pid)
        # Prefect reads pid and returncode of whatever it is given.
        task_status.started(ProcessHandle(cast(Any, child), termination_scope=scope))
        await child.exited.wait()

    def _register(self, flow_run: FlowRun) -> dict[str, str]:
        """Reserve the channel by which a cancellation reaches the child before its SIGTERM."""
        try:
            port, token = self._control_channel.register(flow_run.id)
        except RuntimeError:  # it could not listen: Prefect then cancels by signal alone
            return {}
        return {"PREFECT__CONTROL_PORT": str(port), "PREFECT__CONTROL_TOKEN": token}

    def _environment(self, flow_run: FlowRun, registered: dict[str, str]) -> dict[str, str]:
        return sanitize_subprocess_env(
            {
                **os.environ,
                **self._configuration.env,
                **_settings(),
                "PREFECT__FLOW_RUN_ID": str(flow_run.id),
                "PREFECT__ENABLE_CANCELLATION_AND_CRASHED_HOOKS": "false",
                **self._configuration.located,
                **registered,
            }
        )
