"""Prefect's server on a real Postgres, by one variable."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from benchmarks.ports import free_port
from perennial.local import ensure_up, stop
from perennial.local.processes import stack_processes
from perennial.local.state import StackFiles
from tests.local.test_stack import DECLARATION, ENDED, FLOW, Prefect

URL = "PREFECT_SERVER_DATABASE_CONNECTION_URL"


def find_binaries() -> Path | None:
    """Debian keeps them beside the path: /usr/lib/postgresql/15/bin."""
    on_path = shutil.which("initdb")
    found = [*sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb")), *filter(None, [on_path])]
    return Path(found[-1]).resolve().parent if found else None


BINARIES = find_binaries()

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BINARIES is None, reason="Postgres is not installed"),
]


@dataclass(frozen=True)
class Postgres:
    """A server of the test's own."""

    port: int
    password: str
    url: str

    def ask(self, query: str) -> str:
        return subprocess.run(
            [
                *(str(BINARIES / "psql"), "-h", "127.0.0.1", "-p", str(self.port)),
                *("-U", "prefect", "-d", "postgres", "-At", "-c", query),
            ],
            env={**os.environ, "PGPASSWORD": self.password},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[Postgres]:
    """Postgres refuses to run as root: then it runs as the user that Debian makes for it."""
    place, password = tmp_path / "pg", secrets.token_hex(8)
    place.mkdir(mode=0o755)
    secret = place / "password"
    secret.write_text(password)
    as_user: list[str] = []
    if os.geteuid() == 0:
        as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        for path in (place, secret):
            shutil.chown(path, "postgres", "postgres")
        for parent in [place, *place.parents][:4]:
            parent.chmod(parent.stat().st_mode | 0o055)
    port = free_port()
    data = place / "data"
    initdb = ["-D", data, "-U", "prefect", "-A", "scram-sha-256", f"--pwfile={secret}"]
    subprocess.run(
        [*as_user, BINARIES / "initdb", *initdb], cwd=place, check=True, capture_output=True
    )
    options = ["-D", data, "-p", str(port), "-h", "127.0.0.1", "-k", place]
    server = subprocess.Popen(
        [*as_user, BINARIES / "postgres", *options],
        cwd=place,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield Postgres(
            port, password, f"postgresql+asyncpg://prefect:{password}@127.0.0.1:{port}/postgres"
        )
    finally:
        server.terminate()
        server.wait(timeout=30)


def test_prefects_server_keeps_its_runs_in_postgres(postgres, tmp_path, monkeypatch):
    project, directory = tmp_path / "project", tmp_path / "stack"
    (project / "flows").mkdir(parents=True)
    (project / "flows" / "trial.py").write_text(FLOW)
    (project / "prefect.yaml").write_text(DECLARATION)
    monkeypatch.setenv(URL, postgres.url)
    try:
        stack = ensure_up(directory, project=project)
        with httpx.Client(base_url=stack.settings.prefect_address, timeout=30) as client:
            prefect = Prefect(client)
            runs = [prefect.start() for _ in range(3)]
            assert [prefect.await_state(r, ENDED)["type"] for r in runs] == ["COMPLETED"] * 3
        query = "select count(*) from flow_run where state_type = 'COMPLETED'"
        assert postgres.ask(query) == "3"
        assert list((directory / "prefect").glob("*.db")) == []
        state = StackFiles(directory).read_state()
        told = [p for p in stack_processes(state.id) if URL in p.environ()]
        assert {" ".join(p.cmdline()[:4]).count("prefect") for p in told} == {1}
        logs = [log.read_text(errors="replace") for log in (directory / "logs").iterdir()]
        assert not [text for text in logs if postgres.password in text]
    finally:
        stop(directory)
