"""prefect.yaml: every flow is deployed, on a Prefect server that knows nothing of it."""

from __future__ import annotations

import importlib
import os
import shlex
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import yaml
from prefect import Flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId
from prefect.events.schemas.deployment_triggers import DeploymentTriggerTypes
from prefect.settings import get_current_settings
from pydantic import TypeAdapter

from perennial.local.prefect_api import offer_pipelines
from tests.serving.serving_process import wait_for

PROJECT = Path(__file__).parents[2]
DECLARED = yaml.safe_load((PROJECT / "prefect.yaml").read_text())["deployments"]
NAMES = [deployment["name"] for deployment in DECLARED]


def flow_of(deployment) -> Flow:
    file, name = deployment["entrypoint"].split(":")
    return getattr(importlib.import_module(file.removesuffix(".py").replace("/", ".")), name)


def test_every_flow_has_one_deployment_of_its_name():
    flows = {
        (name, flow.name)
        for path in sorted((PROJECT / "flows").glob("*.py"))
        for name, flow in vars(importlib.import_module(f"flows.{path.stem}")).items()
        if isinstance(flow, Flow)
    }
    assert sorted(NAMES) == sorted(name for name, _ in flows)
    wanted = "retrain monitor rollout rollback score backtest validate compact gc recover"
    assert set(wanted.split()) <= set(NAMES)


@pytest.mark.parametrize("deployment", DECLARED, ids=NAMES)
def test_a_deployment_says_what_it_is_for_and_where_it_runs(deployment):
    assert flow_of(deployment).name == deployment["name"]
    first, *more = deployment["description"].split(". ")
    assert len(first) <= 60
    assert more
    assert deployment["tags"] == ["perennial"]
    assert deployment["work_pool"] == {"name": "{{ $PERENNIAL_WORK_POOL }}"}
    for trigger in deployment.get("triggers", ()):
        parsed = TypeAdapter(DeploymentTriggerTypes).validate_python(trigger)
        assert parsed.name
        known = flow_of(deployment).parameters.properties
        assert set(trigger.get("parameters", ())) <= set(known)


@pytest.mark.parametrize("deployment", DECLARED, ids=NAMES)
def test_a_form_explains_every_field(deployment):
    parameters = flow_of(deployment).parameters
    for name, shown in parameters.properties.items():
        assert shown.get("description"), f"{deployment['name']}: {name}"


@pytest.mark.slow
def test_deployed_twice_everything_is_there_once(prefect_server):
    with get_client(sync_client=True) as client:
        client.create_work_pool(WorkPoolCreate(name="elsewhere", type="process"))
        seen = []
        for command in DEPLOY, in_a_terminal(DEPLOY):
            deploy("elsewhere", command)
            deployments = [d for d in client.read_deployments() if "perennial" in d.tags]
            automations = client.request("POST", "/automations/filter", json={}).json()
            seen.append(
                (
                    sorted(d.name for d in deployments if d.name in NAMES),
                    Counter(d.name for d in deployments for _ in d.schedules),
                    sorted(automation["name"] for automation in automations),
                )
            )
    first, second = seen
    assert first == second
    assert first[0] == sorted(NAMES)
    assert first[1] == Counter(d["name"] for d in DECLARED for _ in d["schedules"] or ())
    assert len(first[2]) == sum(len(d.get("triggers", ())) for d in DECLARED)
    assert {d.work_pool_name for d in deployments if d.name in NAMES} == {"elsewhere"}


@pytest.mark.slow
def test_applied_again_forms_are_told_of_the_pipelines_once_more(prefect_server):
    with get_client(sync_client=True) as client:
        client.create_work_pool(WorkPoolCreate(name="anew", type="process"), overwrite=True)
        deploy("anew", DEPLOY)

        def asked_to_recover() -> int:
            recover = client.read_deployment_by_name("recover/recover").id
            runs = client.read_flow_runs(
                deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[recover]))
            )
            return sum(not run.auto_scheduled for run in runs)

        def settled() -> int:
            """How often, once what went before (an offer changes the form, too) has been heard."""
            count = -1
            while count != (count := asked_to_recover()):
                time.sleep(3)
            return count

        offer_pipelines(str(get_current_settings().api.url), ["bike"])
        before = settled()
        deploy("anew", DEPLOY)
        wait_for(lambda: asked_to_recover() > before)


DEPLOY = [sys.executable, "-m", "prefect", "deploy", "--all"]


def in_a_terminal(command: list[str]) -> list[str]:
    """Where Prefect asks for what a declaration leaves open, and nobody is there to answer."""
    return ["script", "--quiet", "--return", "--command", shlex.join(command), os.devnull]


def deploy(pool: str, command: list[str]) -> None:
    done = subprocess.run(
        command,
        cwd=PROJECT,
        env={
            **os.environ,
            "PREFECT_API_URL": str(get_current_settings().api.url),
            "PERENNIAL_WORK_POOL": pool,
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
