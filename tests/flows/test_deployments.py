"""prefect.yaml: every flow is deployed, on a Prefect server that knows nothing of it."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import yaml
from prefect import Flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.events.schemas.deployment_triggers import DeploymentTriggerTypes
from prefect.settings import get_current_settings
from pydantic import TypeAdapter

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
    assert len(deployment["description"]) > 40
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
        for _ in range(2):
            deploy("elsewhere")
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
    assert first[1] == Counter("schedules" in d and d["name"] for d in DECLARED if "schedules" in d)
    assert len(first[2]) == sum(len(d.get("triggers", ())) for d in DECLARED)
    assert {d.work_pool_name for d in deployments if d.name in NAMES} == {"elsewhere"}


def deploy(pool: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"],
        cwd=PROJECT,
        env={
            **os.environ,
            "PREFECT_API_URL": str(get_current_settings().api.url),
            "PERENNIAL_WORK_POOL": pool,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
