"""Find a pipeline's declaration, and keep schedules and forms as declarations say."""

from __future__ import annotations

from typing import Any

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import CronSchedule
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.logging import get_run_logger

from perennial.local import forms
from perennial.registry import Declaration, known_pipelines, resolve
from perennial.spec import PipelineSpec, unusable
from tasks.connection import settings, store
from tasks.each import SetAside, for_each
from tasks.step import may_pass, step

MONITOR = "monitor/monitor"


@step(retries=10, retry_delay_seconds=3, retry_condition_fn=may_pass)
def find_pipeline(pipeline: str) -> Declaration:
    """Read the declaration of a pipeline, given by its name or folder; warn of what cannot be had.

    Raises:
        SpecError: there is none, or it may not stand as it does.
    """
    declaration = resolve(
        store(), pipeline, settings().pipeline_folders, settings().trusted_folders
    )
    if (lack := unusable(declaration.spec.policy)) is not None:
        get_run_logger().warning("%s: %s", declaration.spec.name, lack)
    _keep_pipeline(declaration.spec)
    return declaration


@step(retries=2, retry_delay_seconds=2)
def find_pipelines() -> list[str]:
    """Names of all pipelines that the store knows; no demos."""
    return known_pipelines(store())


@step(retries=2, retry_delay_seconds=2)
def keep_deployments() -> list[SetAside]:
    """Have every form offer the pipelines that the store or a folder in sight declares, and the
    monitor look at each that the store knows, on schedule: Prefect's database may be new, and a
    pipeline.yaml may have been edited.

    Returns:
        Pipelines for which that is not possible.
    """
    with get_client(sync_client=True) as client:
        monitor = _find_monitor(client)
        if monitor is None:
            return []
        _offer(client)

        def keep(name: str) -> None:
            declaration = resolve(
                store(), name, settings().pipeline_folders, settings().trusted_folders
            )
            _keep_schedule(client, monitor, declaration.spec)

        return for_each(known_pipelines(store()), keep)[1]


def _offer(client: SyncPrefectClient) -> None:
    def call(method: str, path: str, body: Any) -> Any:
        answer = client.request(method, path, json=body).raise_for_status()
        return answer.json() if answer.content else None

    forms.offer(call, forms.pipeline_names(store(), settings().pipeline_folders))


def _keep_pipeline(spec: PipelineSpec) -> None:
    """Have the forms offer one pipeline, and the monitor look at it on schedule."""
    with get_client(sync_client=True) as client:
        monitor = _find_monitor(client)
        if monitor is None:
            return
        if not forms.is_offered(monitor.parameter_openapi_schema or {}, spec.name):
            _offer(client)
        _keep_schedule(client, monitor, spec)


def _find_monitor(client: SyncPrefectClient) -> DeploymentResponse | None:
    try:
        return client.read_deployment_by_name(MONITOR)
    except ObjectNotFound:
        get_run_logger().info("no deployment %s here: nothing to schedule", MONITOR)
        return None


def _keep_schedule(
    client: SyncPrefectClient, monitor: DeploymentResponse, spec: PipelineSpec
) -> None:
    """Give the monitor the schedule that a pipeline declares."""
    mine = [s for s in monitor.schedules if s.slug == spec.name]
    crons = [s.schedule.cron for s in mine if isinstance(s.schedule, CronSchedule)]
    if crons == ([spec.monitor.schedule] if spec.monitor.schedule else []):
        return
    for old in mine:
        client.delete_deployment_schedule(monitor.id, old.id)
    if spec.monitor.schedule:
        _create_schedule(client, monitor.id, spec.name, spec.monitor.schedule)


def _create_schedule(client: SyncPrefectClient, deployment: object, name: str, cron: str) -> None:
    schedule = DeploymentScheduleCreate(
        schedule=CronSchedule(cron=cron, timezone="UTC"),
        active=True,
        parameters={"pipeline": name},
        slug=name,
    )
    try:
        client.create_deployment_schedules(deployment, [schedule])
    except PrefectHTTPStatusError as error:
        if error.response.status_code != httpx.codes.CONFLICT:
            raise
        get_run_logger().info("another run has just made the schedule of %s", name)
