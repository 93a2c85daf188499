"""The whole stack, for real: up, what it survives, down, and nothing left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime

import httpx
import pytest

from perennial.local import RunningStack, ensure_up, is_up, status, stop
from perennial.local.processes import stack_processes
from perennial.local.state import StackFiles
from perennial.registry import Declaration
from perennial.settings import Settings
from perennial.spec import PipelineSpec
from perennial.store import layout, open_store

pytestmark = pytest.mark.slow

FLOW = """
import os, time
from prefect import flow

@flow(name="trial", log_prints=True)
def trial(sleep: float = 0, signal: int = 0, code: int = 0):
    print("first line")
    if signal:
        os.kill(os.getpid(), signal)
    if code:
        os._exit(code)
    time.sleep(sleep)
"""
DECLARATION = """
name: trial
deployments:
  - name: trial
    entrypoint: flows/trial.py:trial
    work_pool: {name: perennial}
"""
ENDED = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    project = tmp_path_factory.mktemp("project")
    (project / "flows").mkdir()
    (project / "flows" / "trial.py").write_text(FLOW)
    (project / "prefect.yaml").write_text(DECLARATION)
    return project


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    directory = tmp_path_factory.mktemp("stack")
    yield directory
    stop(directory)


@pytest.fixture(scope="module")
def stack(project, directory):
    return ensure_up(directory, project=project)


@pytest.fixture(scope="module")
def prefect(stack):
    api = stack.settings.prefect_address
    with httpx.Client(base_url=api, timeout=30, trust_env=False) as client:
        yield Prefect(client)


class Prefect:
    """The few calls by which a test plays the data engineer."""

    def __init__(self, client: httpx.Client) -> None:
        self.client = client

    def start(self, **parameters):
        deployment = self.get("/deployments/name/trial/trial")["id"]
        body = {"parameters": parameters, "state": {"type": "SCHEDULED"}}
        return self.post(f"/deployments/{deployment}/create_flow_run", body)["id"]

    def await_state(self, run, states, timeout=60):
        deadline = time.monotonic() + timeout
        while True:
            state = self.get(f"/flow_runs/{run}")["state"]
            if state["type"] in states:
                return state
            assert time.monotonic() < deadline, state
            time.sleep(0.1)

    def logs(self, run):
        chosen = {"logs": {"flow_run_id": {"any_": [run]}}, "sort": "TIMESTAMP_ASC"}
        return self.post("/logs/filter", chosen)

    def get(self, path):
        return self._call("GET", path)

    def post(self, path, body):
        return self._call("POST", path, body)

    def _call(self, method, path, body=None):
        """Ask again after a 503, as Prefect's own client does: SQLite was locked."""
        for _ in range(20):
            answer = self.client.request(method, path, json=body)
            if answer.status_code != 503:
                break
            time.sleep(0.5)
        return answer.raise_for_status().json()


def part(directory, name):
    return next(part for part in status(directory).parts if part.name == name)


def await_healthy(directory, name, restarts, timeout=60):
    deadline = time.monotonic() + timeout
    while not ((seen := part(directory, name)).healthy and seen.restarts == restarts):
        assert time.monotonic() < deadline, seen
        time.sleep(0.2)
    return seen


def perennial(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "perennial", *arguments], capture_output=True, text=True, check=False
    )


def test_every_part_is_up_and_healthy(stack: RunningStack, directory):
    assert stack.started
    assert is_up(directory)
    seen = status(directory)
    assert [(part.name, part.running, part.healthy) for part in seen.parts] == [
        (name, True, True) for name in ("store", "prefect", "serving", "alerts", "worker")
    ]
    assert httpx.get(f"{stack.urls['serving']}/v2/health/live").status_code == 200
    assert httpx.get(stack.urls["prefect"]).status_code == 200


def test_the_store_is_found_by_its_settings_and_only_with_its_keys(stack, directory):
    told = dict(_lines(directory / "stack.env"))
    assert told["PERENNIAL_WORK_POOL"] == "perennial"  # or a deploy by hand would name none
    found = Settings.from_env(told)
    assert found == stack.settings
    open_store(found).put("tests/one", b"1")
    assert (directory / "stack.env").stat().st_mode & 0o777 == 0o600
    assert httpx.get(f"{stack.urls['store']}/{found.bucket}/tests/one").status_code == 403


def _lines(path):
    return [line.split("=", 1) for line in path.read_text().splitlines()]


def test_no_key_is_in_a_process_list_a_log_or_the_state(stack, directory):
    token = directory / "alerts.token"
    assert token.stat().st_mode & 0o777 == 0o600
    readable = [*directory.glob("logs/*"), directory / "stack.json"]
    state = StackFiles(directory).read_state()
    for secret in (stack.settings.secret_key, token.read_text().strip()):
        assert not [path for path in readable if secret in path.read_text(errors="replace")]
        assert not [p.pid for p in stack_processes(state.id) if secret in " ".join(p.cmdline())]


def test_an_alert_is_an_event_in_prefect_once(stack, prefect, directory):
    spec = PipelineSpec(name="bike", task="regression", source={"uri": "s3://b/x.csv"}, target="y")
    store = open_store(stack.settings)
    store.put_json(layout.declaration("bike"), Declaration(spec=spec))
    token = (directory / "alerts.token").read_text().strip()
    asked = {"pipeline": "bike", "action": "retrain", "reason": "new prices", "id": "prices-7"}
    for repeated in (False, True):
        answer = httpx.post(
            f"{stack.urls['alerts']}/v1/alerts",
            json=asked,
            headers={"Authorization": f"Bearer {token}"},
            timeout=30,
        ).json()
        assert (answer["result"], answer["repeated"]) == ("asked", repeated)
    chosen = {"filter": {"event": {"name": ["perennial.retrain.requested"]}}}
    deadline = time.monotonic() + 30
    while not (found := prefect.post("/events/filter", chosen)["events"]):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert [event["payload"]["reason"] for event in found] == ["new prices"]


def test_a_second_up_says_so(stack, directory, project):
    assert not ensure_up(directory, project=project).started
    second = perennial("up", "--dir", str(directory))
    assert second.returncode == 0
    assert "up already" in second.stdout
    assert "login in prefect.auth" in second.stdout
    for otherwise in (("--worker", "process"), ("--no-auth",)):
        other = perennial("up", "--dir", str(directory), *otherwise)
        assert other.returncode == 1
        assert "perennial down" in other.stderr
        assert "Traceback" not in other.stderr


def test_status_is_for_programs_too(stack, directory, tmp_path):
    seen = perennial("status", "--json", "--dir", str(directory))
    assert seen.returncode == 0
    parts = {part["name"]: part for part in json.loads(seen.stdout)["parts"]}
    assert parts["prefect"]["url"] == stack.urls["prefect"]
    assert datetime.fromisoformat(parts["store"]["since"]) < datetime.now(UTC)
    nothing = perennial("status", "--json", "--dir", str(tmp_path))
    assert nothing.returncode == 1
    assert json.loads(nothing.stdout)["up"] is False


def test_a_run_completes_in_a_fork_and_its_lines_reach_the_server(prefect):
    run = prefect.start()
    assert prefect.await_state(run, ENDED)["type"] == "COMPLETED"
    time.sleep(2.5)  # Prefect sends logs every two seconds
    assert "first line" in [entry["message"] for entry in prefect.logs(run)]
    assert prefect.get(f"/flow_runs/{run}")["infrastructure_pid"].count(":") == 2


@pytest.mark.parametrize(
    "fate", [{"signal": int(signal.SIGKILL)}, {"signal": int(signal.SIGSEGV)}, {"code": 3}]
)
def test_a_run_whose_process_ends_badly_is_crashed(prefect, fate):
    run = prefect.start(**fate)
    assert prefect.await_state(run, ENDED)["type"] == "CRASHED"


def test_a_run_is_cancelled_from_the_ui(prefect):
    run = prefect.start(sleep=60)
    prefect.await_state(run, {"RUNNING"})
    prefect.post(f"/flow_runs/{run}/set_state", {"state": {"type": "CANCELLING"}})
    assert prefect.await_state(run, ENDED)["type"] == "CANCELLED"


def test_a_killed_worker_is_back_and_its_runs_are_crashed(prefect, directory):
    run = prefect.start(sleep=60)
    prefect.await_state(run, {"RUNNING"})
    before = part(directory, "worker")
    os.kill(before.pid, signal.SIGKILL)
    assert prefect.await_state(run, ENDED)["type"] == "CRASHED"
    after = await_healthy(directory, "worker", before.restarts + 1)
    assert after.pid != before.pid
    assert prefect.await_state(prefect.start(), ENDED)["type"] == "COMPLETED"


def test_a_worker_that_is_told_to_end_ends_its_runs(prefect, directory):
    run = prefect.start(sleep=60)
    prefect.await_state(run, {"RUNNING"})
    before = part(directory, "worker")
    os.kill(before.pid, signal.SIGTERM)
    assert prefect.await_state(run, ENDED)["type"] == "CRASHED"
    await_healthy(directory, "worker", before.restarts + 1)
    assert prefect.await_state(prefect.start(), ENDED)["type"] == "COMPLETED"


def test_runs_lost_with_worker_and_fork_server_are_found_by_the_next_worker(prefect, directory):
    run = prefect.start(sleep=60)
    prefect.await_state(run, {"RUNNING"})
    worker = part(directory, "worker").pid
    state = StackFiles(directory).read_state()
    forks = [p for p in stack_processes(state.id) if "worker.fork_server" in p.cmdline()]
    for pid in (worker, *(process.pid for process in forks)):
        os.kill(pid, signal.SIGKILL)
    assert prefect.await_state(run, ENDED)["type"] == "CRASHED"


@pytest.mark.parametrize("name", ["serving", "alerts", "store", "prefect"])
def test_a_killed_part_is_back_at_its_address(stack, directory, name):
    before = part(directory, name)
    os.kill(before.pid, signal.SIGKILL)
    after = await_healthy(directory, name, before.restarts + 1)
    assert (after.url, after.pid == before.pid) == (before.url, False)
    told = (directory / "logs" / "supervisor.log").read_text()
    assert f"the {before.title} ended with code -9; started again in" in told
    assert f"the {before.title} is started again (pid {after.pid})" in told


def test_what_was_stored_is_still_there_and_the_loop_still_turns(stack, prefect):
    assert open_store(stack.settings).get("tests/one").data == b"1"
    assert prefect.await_state(prefect.start(), ENDED)["type"] == "COMPLETED"


def test_a_killed_supervisor_takes_all_along_and_the_next_up_starts_anew(
    stack, prefect, directory, project
):
    state = StackFiles(directory).read_state()
    os.kill(state.supervisor.pid, signal.SIGKILL)
    while state.supervisor.find() is not None:
        time.sleep(0.02)
    assert not is_up(directory)
    assert ensure_up(directory, project=project).started
    assert stack_processes(state.id) == []


def test_down_leaves_no_process_and_keeps_the_data(stack, directory, project):
    state = StackFiles(directory).read_state()
    assert stop(directory)
    assert stack_processes(state.id) == []
    assert not is_up(directory)
    assert not (directory / "stack.env").exists()
    assert not stop(directory)


def test_the_same_deployments_run_on_prefects_own_worker_and_without_a_password(project, directory):
    stack = ensure_up(directory, project=project, worker="process", auth=False)
    try:
        assert stack.settings.prefect_auth is None
        assert open_store(stack.settings).get("tests/one").data == b"1"
        api = stack.settings.prefect_address
        with httpx.Client(base_url=api, timeout=30, trust_env=False) as client:
            prefect = Prefect(client)
            assert prefect.await_state(prefect.start(), ENDED)["type"] == "COMPLETED"
    finally:
        stop(directory)
