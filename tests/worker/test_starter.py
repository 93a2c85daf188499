"""When a child need not ask where its code is."""

from uuid import uuid4

import pytest
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.responses import DeploymentResponse

from worker.starter import ForkConfiguration

GO = "prefect.deployments.steps.set_working_directory"


def prepared(steps, entrypoint="flows/monitor.py:monitor"):
    configuration = ForkConfiguration()
    deployment = DeploymentResponse(
        name="d", flow_id=uuid4(), pull_steps=steps, entrypoint=entrypoint
    )
    configuration.prepare_for_flow_run(FlowRun(flow_id=deployment.flow_id), deployment)
    return configuration


def test_code_that_is_here_is_gone_to_at_once(tmp_path):
    here = prepared([{GO: {"directory": str(tmp_path)}}])
    assert here.place == str(tmp_path)
    assert here.located == {"PREFECT__FLOW_ENTRYPOINT": "flows/monitor.py:monitor"}


@pytest.mark.parametrize(
    "steps",
    [
        None,
        [],
        [{GO: {"directory": "somewhere/else"}}],
        [{GO: {"directory": "/not/on/this/machine"}}],
        [{GO: {"directory": "/", "requires": "a-package"}}],
        [{GO: {"directory": "/"}}, {GO: {"directory": "/"}}],
        [{"prefect.deployments.steps.git_clone": {"repository": "r"}}],
    ],
)
def test_whatever_has_to_be_fetched_is_left_to_the_engine(steps):
    there = prepared(steps)
    assert (there.place, there.located) == (None, {})


def test_so_is_a_module_path(tmp_path):
    assert prepared([{GO: {"directory": str(tmp_path)}}], "flows.monitor.monitor").located == {}


def test_settings_are_written_out_once_for_all_runs(monkeypatch, tmp_path):
    prepared([{GO: {"directory": str(tmp_path)}}])
    monkeypatch.setattr("worker.starter.get_current_settings", None)
    again = prepared([{GO: {"directory": str(tmp_path)}}])
    assert again.env["PREFECT__FLOW_RUN_ID"]
