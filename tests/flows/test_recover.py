from datetime import timedelta
from uuid import uuid4

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.states import Crashed, Running

import tasks.recover
from flows.recover import recover
from perennial.registry import declare
from perennial.store import acquire_lease, layout
from perennial.store.lease import LeaseRecord, utc_now
from tests.flows.conftest import frame
from tests.flows.test_flows import run


@flow(name="score")
def work(): ...


@pytest.fixture(autouse=True)
def _tried(connected):
    """The store was tried by many writers today, which takes it seconds."""
    connected.put(layout.probe("raced"), b"")


@pytest.fixture
def client(prefect_server):
    with get_client(sync_client=True) as client:
        yield client


@pytest.fixture
def deployed(client):
    """Runs of a deployment that may be repeated, and of one that may not."""

    def make(name):
        made = client.create_deployment(client.create_flow(work), name=name, tags=["perennial"])
        return client.create_flow_run_from_deployment(made, tags=["perennial"])

    return make


def heard(client, run, ago):
    """Have a run send a heartbeat so many seconds ago."""
    event = {
        "id": str(uuid4()),
        "event": tasks.recover.HEARTBEAT,
        "occurred": (utc_now() - timedelta(seconds=ago)).isoformat(),
        "resource": {"prefect.resource.id": f"prefect.flow-run.{run.id}"},
    }
    client.request("POST", "/events", json=[event]).raise_for_status()
    while tasks.recover._last_heard(client, run.id) is None:
        pass


def state_of(client, run):
    return client.read_flow_run(run.id).state


def test_a_run_that_fell_silent_is_crashed_and_begun_again(connected, client, deployed):
    silent, alive, mute = deployed("score"), deployed("score"), deployed("score")
    for one in (silent, alive, mute):
        client.set_flow_run_state(one.id, Running(), force=True)
    heard(client, silent, 300)
    heard(client, alive, 5)
    state = run(recover)
    assert state.name == "Recovered"
    assert state.message.startswith("1 silent runs reported as crashed, 1 started again")
    assert state_of(client, silent).name == "AwaitingRetry"
    assert state_of(client, alive).name == "Running"
    assert state_of(client, mute).name == "Running"
    assert run(recover).name == "Nothing to do"


def test_what_crashes_again_and_again_or_was_decided_by_a_person_stays(connected, client, deployed):
    often, person = deployed("score"), deployed("rollback")
    for _ in range(tasks.recover.ATTEMPTS):
        client.set_flow_run_state(often.id, Running(), force=True)
    for one in (often, person):
        client.set_flow_run_state(one.id, Crashed(), force=True)
    run(recover)
    assert state_of(client, often).name == "Crashed"
    assert state_of(client, person).name == "Crashed"


def test_the_lease_of_a_run_that_ended_is_given_back_and_no_other(
    connected, client, deployed, pipeline
):
    declare(connected, pipeline(frame(40)))
    ended = deployed("rollback")
    client.set_flow_run_state(ended.id, Crashed(), force=True)
    acquire_lease(connected, "line", f"run ({ended.id})")
    watch = layout.rollout_lease("line")
    acquire_lease(connected, "line", f"run ({deployed('retrain').id})", key=watch)
    run(recover)

    def record(key):
        return LeaseRecord.model_validate_json(connected.get(key).data)

    assert record(layout.lease("line")).expires_at <= utc_now()
    assert record(layout.lease("line")).token == 2
    assert record(watch).expires_at > utc_now()
    acquire_lease(connected, "line", "another run")
