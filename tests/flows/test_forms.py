"""What a person sees of a run in Prefect's UI, and what is refused before there is one."""

from __future__ import annotations

import logging

import pytest
from prefect import flow, runtime
from prefect.client.orchestration import get_client
from prefect.exceptions import PrefectHTTPStatusError
from prefect.flow_engine import run_flow
from prefect.states import Completed, State
from prefect.utilities.callables import parameter_schema

import flows.names
import tasks.declaration
from flows.monitor import monitor
from flows.outcome import explained, notable
from flows.retrain import retrain
from perennial.errors import SourceError, SpecError
from perennial.registry import declare
from tasks.declaration import MONITOR, keep_deployments
from tasks.step import step
from tests.flows.conftest import frame


@pytest.fixture
def client(prefect_server):
    with get_client(sync_client=True) as client:
        yield client


def deployed(client, what):
    return client.create_deployment(
        client.create_flow(what),
        name=what.name,
        tags=["perennial"],
        parameter_openapi_schema=parameter_schema(what).model_dump_for_openapi(),
        enforce_parameter_schema=True,
    )


def test_a_form_offers_the_pipelines_and_nonsense_starts_no_run(connected, client, pipeline):
    pipeline(frame(40))
    deployments = [deployed(client, what) for what in (retrain, monitor)]
    flow(keep_deployments.fn)()
    start = client.create_flow_run_from_deployment
    for deployment in deployments:
        start(deployment, parameters={"pipeline": "line"})
        with pytest.raises(PrefectHTTPStatusError, match="is not"):
            start(deployment, parameters={"pipeline": "nobody"})
    start(deployments[1], parameters={})
    for wrong in ({"depth": "deeper"}, {"span": 0}, {"span": "many"}, {"deph": "correct"}):
        with pytest.raises(PrefectHTTPStatusError):
            start(deployments[0], parameters={"pipeline": "line", **wrong})


def test_schedules_come_back_where_prefects_database_was_made_anew(connected, client, pipeline):
    folder = pipeline(frame(40))
    file = folder / "pipeline.yaml"
    written = file.read_text()

    def scheduled(when):
        file.write_text(written.replace("50 rows", f"50 rows, schedule: {when}"))
        declare(connected, folder)

    scheduled("'7 3 * * *'")
    deployed(client, monitor)

    def crons():
        return [s.schedule.cron for s in client.read_deployment_by_name(MONITOR).schedules]

    assert crons() == []
    for _ in range(2):
        flow(keep_deployments.fn)()
        assert crons() == ["7 3 * * *"]
    scheduled("null")
    flow(keep_deployments.fn)()
    assert crons() == []


def test_of_two_runs_that_make_the_same_schedule_neither_fails(connected, client, pipeline):
    deployed(client, monitor)
    spec = declare(connected, pipeline(frame(40))).spec
    stale = client.read_deployment_by_name(MONITOR)

    @flow
    def twice():
        for _ in range(2):
            tasks.declaration._keep_schedule(client, stale, spec)

    twice()
    slugs = [schedule.slug for schedule in client.read_deployment_by_name(MONITOR).schedules]
    assert slugs.count("line") == 1


@pytest.mark.parametrize(
    ("parameters", "name"),
    [
        (
            {"pipeline": "bike", "reason": "drift in temp, hum: no labels"},
            "retrain bike: drift in temp, hum",
        ),
        (
            {"pipeline": "bike", "reason": "the loss would fall by 26%; the gate (42%: head)"},
            "retrain bike: the loss would fall by 26%",
        ),
        ({"pipeline": "bike", "reason": "asked for by hand"}, "retrain bike: asked for by hand"),
        ({"pipeline": "bike", "reason": ""}, "retrain bike"),
        ({"pipeline": "bike", "reason": "x" * 99}, f"retrain bike: {'x' * 60}…"),
        ({"pipeline": None}, "retrain of all pipelines"),
    ],
)
def test_a_run_is_called_by_what_it_does(prefect_server, parameters, name):
    names = []

    @flow(name="retrain")
    def called(pipeline: str | None, reason: str = "") -> None:
        names.append(flows.names.with_reason())

    called(**parameters)
    assert names == [name]


def test_a_name_that_somebody_has_typed_in_is_kept(prefect_server, client):
    names = []

    @flow(name="monitor", flow_run_name=flows.names.of_pipeline)
    def looks(pipeline: str) -> None:
        names.append(str(runtime.flow_run.name))

    run = client.create_flow_run(looks, name="After the outage", parameters={"pipeline": "bike"})
    run_flow(looks, flow_run=run)
    looks("bike")
    assert names == ["After the outage", "monitor bike"]


def test_what_machinery_fills_in_stands_last_and_says_so():
    shown = parameter_schema(retrain).properties
    order = sorted(shown, key=lambda name: shown[name]["position"])
    assert order[-2:] == ["cause", "attempt"]
    assert all(shown[name]["description"].startswith("Leave it ") for name in order[-2:])


@pytest.mark.parametrize("made_up", ["tactful-horse", "mu6-risa-k", "omega42-ursae-majoris-void"])
def test_a_name_that_prefect_has_made_up_is_not(prefect_server, client, made_up):
    names = []

    @flow(name="rollback", flow_run_name=flows.names.named("rollback {pipeline}"))
    def goes_back(pipeline: str) -> None:
        names.append(str(runtime.flow_run.name))

    run = client.create_flow_run(goes_back, name=made_up, parameters={"pipeline": "bike"})
    run_flow(goes_back, flow_run=run, parameters={"pipeline": "bike"})
    assert names == ["rollback bike"]


def test_a_run_can_be_found_by_its_pipeline(prefect_server, client):
    @flow(name="looks")
    @explained
    def looks(pipeline: str | None) -> State:
        return Completed(message=str(runtime.flow_run.id))

    def tags(pipeline):
        run = looks(pipeline, return_state=True).message
        return client.read_flow_run(run).tags

    assert tags("bike") == ["pipeline:bike"]
    assert tags("data/bike/") == ["pipeline:bike"]
    assert tags(None) == []


def test_what_calls_for_a_look_is_neither_green_nor_red(prefect_server, client):
    failures = []

    @flow(name="retrain", on_failure=[lambda *told: failures.append(told)])
    @explained
    def refused(pipeline: str) -> State:
        return notable("Refused", str(runtime.flow_run.id))

    state = client.read_flow_run(refused("bike", return_state=True).message).state
    assert (state.name, state.type.value) == ("Refused", "CANCELLED")
    assert state.is_final()
    assert failures == []


def test_a_run_that_ends_as_its_flow_says_leaves_no_stack_in_its_log(prefect_server, caplog):
    @step
    def read() -> int:
        return 1

    @flow
    @explained
    def heals() -> State:
        read()
        raise SpecError("line has no champion yet")

    @flow
    @explained
    def refuses() -> State:
        return notable("Refused", "worse")

    @flow
    @explained
    def breaks() -> State:
        raise ZeroDivisionError

    def logged(what):
        caplog.clear()
        with pytest.raises(Exception), caplog.at_level(logging.INFO):  # noqa: PT011, B017
            run_flow(what, flow_run=None)
        runs = ("prefect.task_runs", "prefect.flow_runs")
        return [record for record in caplog.records if record.name in runs]

    for what in (heals, refuses):
        records = logged(what)
        assert [record for record in records if record.exc_info] == []
        assert not any("Completed()" in record.getMessage() for record in records)
    assert "line has no champion yet" in logged(heals)[-1].getMessage()
    assert any(record.exc_info for record in logged(breaks))


def test_what_a_user_caused_is_one_line_in_the_log_and_not_tried_again(prefect_server, caplog):
    tried = []

    @step(retries=3, retry_delay_seconds=60)
    def read() -> None:
        tried.append(1)
        raise SourceError("source.uri: there is no file data.csv")

    @step
    def choose() -> None:
        raise SpecError("seed: -1 stood there")

    @step
    def stumble() -> None:
        raise ZeroDivisionError

    @flow
    def both() -> None:
        read(return_state=True)
        choose(return_state=True)
        stumble(return_state=True)

    with caplog.at_level(logging.ERROR):
        both(return_state=True)
    logged = [record for record in caplog.records if record.name == "prefect.task_runs"]
    stacks = [record.getMessage() for record in logged if record.exc_info]
    assert stacks == ["Task run failed with exception: ZeroDivisionError()"]
    assert "seed: -1 stood there" in [record.getMessage() for record in logged]
    assert any("source.uri: there is no file data.csv" in r.getMessage() for r in logged)
    assert tried == [1]
