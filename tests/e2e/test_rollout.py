"""Rollouts on the real stack, under load, while parts of it are killed or away."""

from __future__ import annotations

import re
import time
from datetime import datetime

import httpx
import pytest

from perennial.store.lease import utc_now
from tests.e2e.conftest import perennial
from tests.e2e.rollouts import PLACES, HarmInEveryStage, Pipeline, until

pytestmark = pytest.mark.slow

ALL_STAGES = ["rollout.advanced"] * 3 + ["rollout.promoted", "rollout.finished"]


def takes_over_in_spite_of(pipeline: Pipeline, harm: HarmInEveryStage) -> None:
    second = pipeline.register(1.5)
    pipeline.start("rollout/rollout")
    driven = pipeline.drive(harm, slope=1.5)
    assert harm.done == PLACES
    assert (pipeline.state.champion, pipeline.state.previous) == (second, pipeline.first)
    assert pipeline.events == ["version.registered", *ALL_STAGES]
    assert driven.failed == 0
    assert set(driven.answers) == {pipeline.first, second}
    pipeline.stack.ended(f"rollout {pipeline.name}")


def test_a_good_challenger_takes_over_though_run_and_server_are_killed_in_every_stage(stack):
    pipeline = Pipeline(stack, "run-killed")

    def harm() -> bool:
        killed = pipeline.kill_run()
        if killed:
            stack.kill("serving")
        return killed

    takes_over_in_spite_of(pipeline, HarmInEveryStage(pipeline, harm))


def test_or_the_worker_is_with_all_its_runs(stack):
    pipeline = Pipeline(stack, "worker-killed")

    def harm() -> bool:
        watching = pipeline.watching() is not None
        if watching:
            stack.kill("worker")
        return watching

    takes_over_in_spite_of(pipeline, HarmInEveryStage(pipeline, harm))


def test_a_store_that_is_away_for_a_while_delays_a_rollout_and_no_more(stack):
    pipeline = Pipeline(stack, "store-away")
    second = pipeline.register(1.5)
    pipeline.start("rollout/rollout")
    away = []

    def is_over() -> bool:
        if pipeline.state.stage == "canary" and not away:
            away.append(1)
            with stack.stopped("store"):
                time.sleep(8)
        return pipeline.is_over()

    driven = pipeline.drive(is_over, slope=1.5)
    assert away
    assert pipeline.state.champion == second, pipeline.state.last_change
    assert pipeline.events == ["version.registered", *ALL_STAGES]
    assert driven.failed == 0


def test_of_two_rollouts_one_steps_aside_and_a_worse_challenger_is_undone_once(stack):
    pipeline = Pipeline(stack, "worse")
    second = pipeline.register(1.5)
    for _ in range(2):
        pipeline.start("rollout/rollout")
    driven = pipeline.drive(pipeline.is_over, slope=3.0)
    assert pipeline.state.champion == pipeline.first
    assert pipeline.events.count("rollout.rolled_back") == 1
    assert driven.failed == 0
    assert driven.answers[second] < driven.answers[pipeline.first]
    names = {run["state_name"] for run in stack.ended("rollout worse")}
    assert {"Rolled back", "Promoted"} <= names
    assert names <= {"Rolled back", "Promoted", "Skipped", "Nothing to do"}


def test_a_breach_in_the_bake_puts_the_old_champion_back_within_5_s_of_the_check_that_saw_it(stack):
    pipeline = Pipeline(stack, "bake", "shadow: null, canary: null, bake: {rows: 500000, time: 1d}")
    second = pipeline.register(1.5)
    pipeline.start("rollout/rollout")
    back = []

    def is_over() -> bool:
        if pipeline.is_over() and pipeline.client.serves(pipeline.first):
            back.append(utc_now())
        return bool(back)

    until(lambda: pipeline.client.serves(second))
    driven = pipeline.drive(is_over, slope=3.0)
    undone = pipeline.state.last_change
    assert (undone.event, undone.version) == ("rollout.rolled_back", second)
    seen = datetime.fromisoformat(undone.details["looked_at"])
    assert (back[0] - seen).total_seconds() < 5
    assert driven.failed == 0
    stack.ended("rollout bake")


def test_a_rollback_by_hand_needs_no_prefect_server(stack):
    pipeline = Pipeline(stack, "by-hand")
    second = pipeline.register(1.5)
    pipeline.start("rollout/rollout")
    pipeline.drive(lambda: pipeline.state.stage == "bake", slope=1.5)
    until(lambda: pipeline.client.serves(second))
    with stack.stopped("prefect"):
        said = perennial("rollback", "by-hand", "--why", "a hunch", cwd=stack.directory.parent)
        asked = time.monotonic()
        assert said.stdout == f"{pipeline.first} answers for by-hand; {second} does not any more.\n"
        until(lambda: pipeline.client.serves(pipeline.first), timeout=10)
        assert time.monotonic() - asked < 2.5
    assert pipeline.events[-1] == "rollout.rolled_back"
    stack.ended("rollout by-hand")
    assert pipeline.state.champion == pipeline.first


AT_ONCE = "shadow: null, canary: null, bake: null, approval: manual"


@pytest.fixture
def asked(stack, request):
    """A challenger that waits for a person, and the suspended run that asks."""
    name = re.sub(r"[^a-z]+", "-", request.node.name).strip("-")
    pipeline = Pipeline(stack, name, AT_ONCE)
    version = pipeline.register(1.5)
    pipeline.start("rollout/rollout")
    question = f"approval of {version} of {pipeline.name}"
    until(lambda: [run["state_name"] for run in stack.runs(question)] == ["Suspended"])
    return pipeline, version, question


def resume(pipeline, question, **answer):
    """Fill in the form behind the Resume button, as the UI sends it."""
    run = pipeline.stack.runs(question)[0]
    url = f"{pipeline.stack.settings.prefect_address}/flow_runs/{run['id']}/resume"
    return httpx.post(url, json={"run_input": answer}).raise_for_status().json()


def test_yes_in_the_form(stack, asked):
    pipeline, version, question = asked
    assert resume(pipeline, question, answer="perhaps")["status"] == "REJECT"
    assert resume(pipeline, question, answer="yes", reason="looks well")["status"] == "ACCEPT"
    until(lambda: pipeline.state.champion == version)
    assert [run["state_name"] for run in stack.ended(question)] == ["Approved"]
    assert pipeline.events == ["version.registered", "rollout.approved", "rollout.promoted"]
    stack.ended(f"rollout {pipeline.name}")


def test_no_in_the_form(stack, asked):
    pipeline, _, question = asked
    resume(pipeline, question, answer="no", reason="not on a Friday")
    until(lambda: pipeline.state.challenger is None)
    assert [run["state_name"] for run in stack.ended(question)] == ["Given up"]
    assert pipeline.state.champion == pipeline.first
    assert pipeline.state.last_change.reason == "not on a Friday"
    stack.ended(f"rollout {pipeline.name}")


@pytest.mark.parametrize("way", ["command", "deployment"])
def test_yes_elsewhere(stack, asked, way):
    pipeline, version, question = asked
    if way == "command":
        perennial("approve", pipeline.name, cwd=stack.directory.parent)
    else:
        pipeline.start("approve/approve", wait=True)
    until(lambda: pipeline.state.champion == version)
    assert [run["state_name"] for run in stack.ended(question)] == ["Withdrawn"]
    stack.ended(f"rollout {pipeline.name}")
