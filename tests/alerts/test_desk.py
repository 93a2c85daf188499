"""Orders on a real store; Prefect answers, or does not."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from perennial.alerts.desk import Desk
from perennial.alerts.rules import Order, Rules
from perennial.cli.alerts import put_back
from perennial.errors import StoreError
from perennial.registry import Declaration, read_history, read_state
from perennial.spec import PipelineSpec
from perennial.store import layout
from tests.alerts.prefects import Asked
from tests.serving.serving_models import put_state, put_version

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def prefect():
    return Asked()


@pytest.fixture
def open_desk(store, prefect):
    for name in ("bike", "shop"):
        spec = PipelineSpec(
            name=name, task="regression", source={"uri": "s3://b/x.csv"}, target="y"
        )
        store.put_json(layout.declaration(name), Declaration(spec=spec))
    for version in ("v1", "v2"):
        put_version(store, "bike", version, b"no graph is looked at here")
    put_state(store, "bike", "v2", previous="v1", stage="bake")

    def open_desk(step=put_back) -> Desk:
        return Desk(store, prefect.client(), step, Rules())

    return open_desk


def order(name="n1", action="retrain", pipeline="bike", version=None, reason="drift") -> Order:
    return Order(
        name=name, pipeline=pipeline, action=action, reason=reason, version=version, since=NOW
    )


def results(answers):
    return [(answer.result, answer.repeated) for answer in answers]


def test_a_retrain_is_asked_for_by_the_event_that_starts_one(open_desk, prefect):
    assert results(open_desk().take([order()])) == [("asked", False)]
    (event,) = prefect.events
    assert event["event"] == "perennial.retrain.requested"
    assert event["resource"]["prefect.resource.id"] == "perennial.pipeline.bike"
    assert event["payload"]["reason"] == "drift"
    assert event["payload"]["verdict"] is None


def test_a_look_is_a_run_of_the_monitor(open_desk, prefect):
    assert results(open_desk().take([order(action="monitor")])) == [("asked", False)]
    assert prefect.runs == [
        {
            "state": {"type": "SCHEDULED"},
            "parameters": {"pipeline": "bike"},
            "idempotency_key": "bike/n1",
        }
    ]


def test_ten_repeats_ask_once_also_of_another_process(open_desk, prefect):
    desk = open_desk()
    answers = [answer for _ in range(5) for answer in desk.take([order(), order()])]
    answers += open_desk().take([order()])
    assert results(answers)[2:] == [("asked", True)] * 9
    assert len(prefect.events) == 1


def test_alerts_for_the_same_ask_once_together(open_desk, prefect):
    given = [order("n1"), order("n2", reason="loss"), order("n3", pipeline="shop")]
    assert results(open_desk().take(given)) == [
        ("asked", False),
        ("joined", False),
        ("asked", False),
    ]
    assert {event["payload"]["reason"] for event in prefect.events} == {"drift; loss", "drift"}


def test_what_prefect_did_not_take_waits_and_is_done_later_once(open_desk, prefect):
    desk = open_desk()
    prefect.away = True
    assert results(desk.take([order(), order("n2", "monitor")])) == [("waiting", False)] * 2
    assert desk.waiting()[0] == 2
    prefect.away = False
    desk.retry()
    desk.retry()
    assert desk.waiting() == (0, 0.0)
    assert (len(prefect.events), len(prefect.runs)) == (1, 1)
    assert results(desk.take([order()])) == [("asked", True)]


def test_the_next_process_takes_up_what_a_killed_one_stored(open_desk, prefect):
    prefect.away = True
    open_desk().take([order()])
    prefect.away = False
    heir = open_desk()
    heir.resume()
    heir.retry()
    assert [event["payload"]["alert"] for event in prefect.events] == ["n1"]
    after = open_desk()
    after.resume()
    assert after.waiting()[0] == 0


def test_an_event_that_is_sent_twice_has_one_id(open_desk, prefect, store):
    open_desk().take([order()])
    store.delete(layout.alert_outcome("bike", "n1"))  # as if killed before it was written
    heir = open_desk()
    heir.resume()
    heir.retry()
    first, second = prefect.events
    assert first["id"] == second["id"]


def test_a_monitor_that_is_not_deployed_waits_and_holds_up_nobody(open_desk, prefect):
    prefect.deployed = False
    answers = open_desk().take([order(action="monitor"), order("n2")])
    assert results(answers) == [("waiting", False), ("asked", False)]
    assert "404" in answers[0].detail


def test_a_rollback_needs_no_prefect(open_desk, prefect, store):
    prefect.away = True
    given = [order(), order("n2", "rollback", version="v2", reason="slow")]
    assert results(open_desk().take(given)) == [("waiting", False), ("rolled back", False)]
    assert read_state(store, "bike").state.champion == "v1"
    entry = list(read_history(store, "bike"))[-1]
    assert (entry.event, entry.reason, entry.by) == ("rollout.rolled_back", "slow", "alerts")


def test_two_alerts_on_one_version_step_back_once(open_desk, store):
    desk = open_desk()
    given = [order(name, "rollback", version="v2") for name in ("n1", "n2")]
    assert results(desk.take(given)) == [("rolled back", False), ("overtaken", False)]
    assert results(desk.take([order("n3", "rollback")])) == [("overtaken", False)]
    assert read_state(store, "bike").state.champion == "v1"


def test_a_rollback_that_was_made_but_not_written_down_is_not_made_again(open_desk, store):
    open_desk().take([order(action="rollback")])
    put_version(store, "bike", "v3", b"the next")
    put_state(store, "bike", "v3", previous="v1", stage="bake")
    store.delete(layout.alert_outcome("bike", "n1"))
    heir = open_desk()
    heir.resume()
    heir.retry()
    assert read_state(store, "bike").state.champion == "v3"
    assert heir.take([order(action="rollback")])[0].result == "overtaken"


def test_a_rollback_waits_where_the_store_fails_and_is_made_then(open_desk, store):
    fails = [True]

    def step(*arguments):
        if fails[0]:
            raise StoreError("away")
        return put_back(*arguments)

    desk = open_desk(step)
    assert results(desk.take([order(action="rollback")])) == [("waiting", False)]
    fails[0] = False
    desk.retry()
    assert read_state(store, "bike").state.champion == "v1"


def test_a_rollback_to_a_damaged_version_is_refused_for_good(open_desk, store):
    store.put(layout.manifest("bike", "v1"), b"{}")
    (answer,) = open_desk().take([order(action="rollback")])
    assert answer.result == "refused"
    assert read_state(store, "bike").state.champion == "v2"


@pytest.mark.parametrize("name", ["nobody", "../bike", "", "a/b", "bike\n"])
def test_a_pipeline_that_is_not_there_is_told(open_desk, prefect, name):
    assert open_desk().take([order(pipeline=name)])[0].result == "unknown"
    assert prefect.events == []


def test_prefect_is_told_who_asks(prefect):
    prefect.client(PREFECT_API_AUTH_STRING="admin:secret").retrain("bike", "r", "n")
    assert prefect.authorization == "Basic YWRtaW46c2VjcmV0"
