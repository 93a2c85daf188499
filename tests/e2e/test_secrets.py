"""Keys and tokens of a running stack are in its private files, and nowhere else."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from perennial.demo.prefect_client import Deployments
from perennial.local import RunningStack, ensure_up, status, stop
from perennial.local.stack import PROJECT
from perennial.local.state import StackFiles
from perennial.registry import declare
from perennial.store import open_store
from tests.e2e.conftest import drifting_stream

pytestmark = pytest.mark.slow

PRIVATE = {"stack.env", "store.keys", "alerts.token", "prefect.auth"}


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("guarded") / ".perennial"


@pytest.fixture(scope="module")
def stack(directory: Path) -> Iterator[RunningStack]:
    """A stack whose Prefect asks for a password, and on which a version was trained."""
    try:
        up = ensure_up(directory)
        folder = directory.parent / "turning"
        folder.mkdir()
        drifting_stream().to_csv(folder / "data.csv", index=False)
        (folder / "pipeline.yaml").write_text(
            "name: turning\ntask: regression\nsource: {uri: data.csv}\ntarget: y\ntime: when\n"
            "model: {estimators: [linear]}\n"
        )
        declare(open_store(up.settings), folder)
        deployments = Deployments(str(up.settings.prefect_address))
        for name in ("retrain/retrain", "monitor/monitor"):
            ended = deployments.wait(deployments.start(name, {"pipeline": "turning"}), timeout=180)
            assert ended is not None
            assert ended["type"] == "COMPLETED", ended
        deployments.close()
        yield up
    finally:
        stop(directory)


@pytest.fixture(scope="module")
def secrets(stack: RunningStack, directory: Path) -> list[str]:
    token = StackFiles(directory).alerts_token.read_text().strip()
    found = [stack.settings.secret_key, token, str(stack.settings.prefect_auth).partition(":")[2]]
    assert all(secret and len(secret) > 16 for secret in found)
    return [str(secret) for secret in found]


def told(secrets: list[str], text: str) -> bool:
    return any(secret in text for secret in secrets)


def test_who_has_no_password_is_turned_away_and_all_parts_are_well(stack, directory):
    api = str(stack.settings.prefect_api_url)
    assert httpx.post(f"{api}/flow_runs/filter", json={}).status_code == 401
    seen = status(directory)
    assert [part.name for part in seen.parts if not part.healthy] == []


def test_files_that_hold_a_secret_are_their_owners_alone(stack, directory, secrets):
    for path in [path for path in directory.iterdir() if path.is_file()]:
        if told(secrets, path.read_text(errors="replace")):
            assert path.name in PRIVATE
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path.name


def test_no_log_tells_a_secret(stack, directory, secrets):
    logs = [*StackFiles(directory).logs.iterdir()]
    assert len(logs) >= 6
    assert [log.name for log in logs if told(secrets, log.read_text(errors="replace"))] == []


def test_no_command_line_tells_a_secret(stack, secrets):
    lines = [
        path.read_text(errors="replace")
        for pid in Path("/proc").glob("[0-9]*")
        if (path := pid / "cmdline").exists()
    ]
    assert any("perennial.serving" in line for line in lines)
    assert not any(told(secrets, line) for line in lines)


def test_prefect_knows_none_of_them(stack, secrets):
    with httpx.Client(base_url=str(stack.settings.prefect_address), timeout=60) as client:
        for kind in ("artifacts", "flow_runs", "logs", "deployments", "task_runs", "work_pools"):
            found = client.post(f"/{kind}/filter", json={"limit": 200})
            assert found.status_code == 200, kind
            assert found.json(), kind
            assert not told(secrets, found.text), kind
        events = client.post("/events/filter", json={"limit": 50})
        assert not told(secrets, events.text)


def test_no_object_in_the_store_tells_a_secret(stack, secrets):
    store = open_store(stack.settings)
    keys = [info.key for name in store.folders() for info in store.scan(f"{name}/")]
    assert any(key.endswith("manifest.json") for key in keys)
    for key in keys:
        assert not told(secrets, store.get(key).data.decode("latin-1")), key


def test_the_commands_go_on_working(stack, directory):
    done = subprocess.run(
        [sys.executable, "-m", "perennial", "status", "--dir", str(directory), "--json"],
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert json.loads(done.stdout)["up"] is True
