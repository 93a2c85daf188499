"""Find a pipeline's declaration, and keep its schedule as it says."""

from __future__ import annotations

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.schedules import CronSchedule
from prefect.exceptions import ObjectNotFound
from prefect.logging import get_run_logger

from perennial.registry import Declaration, known_pipelines, resolve
from tasks.connection import settings, store
from tasks.step import may_pass, step

MONITOR = "monitor/monitor"


@step(retries=10, retry_delay_seconds=3, retry_condition_fn=may_pass)
def find_pipeline(pipeline: str) -> Declaration:
    """Read the declaration of a pipeline, given by its name or folder.

    Raises:
        SpecError: there is none, or it may not stand as it does.
    """
    declaration = resolve(store(), pipeline, settings().pipeline_folders)
    _schedule_monitor(declaration)
    return declaration


@step(retries=2, retry_delay_seconds=2)
def find_pipelines() -> list[str]:
    """Names of all pipelines that the store knows."""
    return known_pipelines(store())


def _schedule_monitor(declaration: Declaration) -> None:
    """Give the monitor's deployment the schedule that the pipeline declares."""
    spec = declaration.spec
    with get_client(sync_client=True) as client:
        try:
            deployment = client.read_deployment_by_name(MONITOR)
        except ObjectNotFound:
            get_run_logger().info("no deployment %s here: nothing to schedule", MONITOR)
            return
        mine = [s for s in deployment.schedules if s.slug == spec.name]
        crons = [s.schedule.cron for s in mine if isinstance(s.schedule, CronSchedule)]
        if crons == ([spec.monitor.schedule] if spec.monitor.schedule else []):
            return
        for old in mine:
            client.delete_deployment_schedule(deployment.id, old.id)
        if spec.monitor.schedule:
            _create_schedule(client, deployment.id, spec.name, spec.monitor.schedule)


def _create_schedule(client: SyncPrefectClient, deployment: object, name: str, cron: str) -> None:
    schedule = DeploymentScheduleCreate(
        schedule=CronSchedule(cron=cron, timezone="UTC"),
        active=True,
        parameters={"pipeline": name},
        slug=name,
    )
    client.create_deployment_schedules(deployment, [schedule])
