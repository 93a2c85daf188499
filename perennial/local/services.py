"""What the stack consists of: the command line and environment of each child."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx

from perennial.errors import StoreError
from perennial.local import prefect_api, seaweed
from perennial.local.ports import LOOPBACK, PortClaims
from perennial.local.processes import STACK_ID
from perennial.local.state import StackFiles, WorkerKind
from perennial.settings import Settings, pipeline_folders, trusted_folders
from perennial.store import open_store, probe

BUCKET = "perennial"
WORKER_NAME = "perennial-local"
PREFERRED_PORTS = {"prefect": 4200, "serving": 8080, "alerts": 8081, **seaweed.PORT_FLAGS}
_CSRF = "PREFECT_SERVER_CSRF_PROTECTION_ENABLED"
DATABASE = ("PREFECT_SERVER_DATABASE_", "PREFECT_API_DATABASE_")
"""Beginnings of the variables that give Prefect's server another database than its SQLite file."""
WORKER_TYPES: Mapping[WorkerKind, str] = {"fork": "perennial-fork", "process": "process"}


@dataclass(frozen=True)
class Service:
    """One child: how it is started, and how it is known to be ready."""

    name: str
    title: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    ports: tuple[int, ...]
    url: str | None
    health_url: str | None
    check: Callable[[], str | None]
    """None when it is ready, else what is amiss."""


@dataclass(frozen=True)
class Plan:
    """All that a supervisor needs to know before it starts the first child."""

    services: tuple[Service, ...]
    settings: Settings
    environment: Mapping[str, str]
    """What a program needs to find the stack: the content of ``stack.env``."""
    moved: Mapping[str, tuple[int, int]]
    claims: PortClaims


def plan(
    files: StackFiles, project: Path, worker: WorkerKind, stack_id: str, *, auth: bool = True
) -> Plan:
    """Choose ports and write out every child's command line and environment.

    Args:
        files: where the stack keeps what; keys and tokens that are missing are made there.
        project: the folder of prefect.yaml, flows and tasks.
        worker: how flow runs are started.
        stack_id: the mark in each child's environment by which it is known again.
        auth: Prefect's server asks for a password.
    """
    claims = PortClaims(PREFERRED_PORTS)
    ports = claims.ports
    keys = seaweed.load_keys(files.keys)
    settings = Settings(
        bucket=BUCKET,
        s3_endpoint=f"http://{LOOPBACK}:{ports['s3.port']}",
        access_key=keys.access_key,
        secret_key=keys.secret_key,
        server_url=f"http://{LOOPBACK}:{ports['serving']}",
        prefect_api_url=f"http://{LOOPBACK}:{ports['prefect']}/api",
        prefect_auth=files.ensure_prefect_auth() if auth else None,
        pipeline_folders=pipeline_folders(os.environ, code=project),
        # Demos lie in the stack's own folder, and what a person declared beside it.
        trusted_folders=(files.directory.parent, *trusted_folders(os.environ)),
    )
    exported = {
        "PERENNIAL_S3_ENDPOINT": str(settings.s3_endpoint),
        "PERENNIAL_BUCKET": settings.bucket,
        **keys.environment(),
        "PERENNIAL_SERVER_URL": str(settings.server_url),
        "PREFECT_API_URL": str(settings.prefect_api_url),
        **({"PREFECT_API_AUTH_STRING": secret} if (secret := settings.prefect_auth) else {}),
        "PERENNIAL_WORK_POOL": prefect_api.POOL,
        "PERENNIAL_PIPELINES": os.pathsep.join(map(str, settings.pipeline_folders)),
        "PERENNIAL_TRUSTED_FOLDERS": os.pathsep.join(map(str, settings.trusted_folders)),
        "PERENNIAL_ALERTS_URL": f"http://{LOOPBACK}:{ports['alerts']}",
        "PERENNIAL_ALERTS_TOKEN_FILE": str(files.alerts_token),
    }
    common = {**child_environment(files, exported), STACK_ID: stack_id}
    visible = {"store": "s3.port", "prefect": "prefect", "serving": "serving", "alerts": "alerts"}
    return Plan(
        services=(
            _store(files, ports, settings, {**common, **seaweed.guard(files.store_guard, keys)}),
            _prefect(ports["prefect"], settings, common),
            _serving(files, ports["serving"], settings, common),
            _alerts(files, ports["alerts"], common),
            _worker(worker, settings, common),
        ),
        settings=settings,
        environment=exported,
        moved={
            part: (PREFERRED_PORTS[name], ports[name])
            for part, name in visible.items()
            if ports[name] != PREFERRED_PORTS[name]
        },
        claims=claims,
    )


def answers(url: str) -> str | None:
    """Ask a health address; None when it says yes, else what is amiss."""
    try:
        status = httpx.get(url, timeout=3, trust_env=False).status_code
    except httpx.HTTPError as error:
        return f"{url} does not answer ({type(error).__name__})"
    return None if status == httpx.codes.OK else f"{url} answers {status}"


def child_environment(files: StackFiles, exported: Mapping[str, str]) -> dict[str, str]:
    """Build the environment of a child: the caller's, the stack's addresses, and silence.

    The address of Prefect's database holds a password: its server alone is told.
    """
    return {**_inherited(os.environ), **exported, **_quiet(files)}


def _inherited(environ: Mapping[str, str]) -> dict[str, str]:
    """The caller's environment, less what would point a child elsewhere."""
    foreign = ("AWS_", "PREFECT__", *DATABASE)
    elsewhere = {
        *("PREFECT_PROFILE", "PREFECT_API_KEY", "PREFECT_HOME", "VIRTUAL_ENV"),
        *("PREFECT_API_AUTH_STRING", "PREFECT_SERVER_API_AUTH_STRING"),
    }
    kept = {
        name: value
        for name, value in environ.items()
        if not name.startswith(foreign) and name not in elsewhere
    }
    # A proxy for the outside must not stand between parts on one machine.
    direct = ",".join(filter(None, (environ.get("no_proxy"), LOOPBACK, "localhost")))
    scripts = str(Path(sys.executable).parent)
    path = f"{scripts}{os.pathsep}{environ.get('PATH', '')}"
    return {**kept, "no_proxy": direct, "NO_PROXY": direct, "PATH": path}


def _quiet(files: StackFiles) -> dict[str, str]:
    return {
        "PREFECT_HOME": str(files.prefect),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        "DO_NOT_TRACK": "1",
        "GX_ANALYTICS_ENABLED": "false",
        "ORT_DISABLE_TELEMETRY": "1",
        "PYTHONUNBUFFERED": "1",
        "OMP_NUM_THREADS": "1",
        "NO_COLOR": "1",
    }


def _store(
    files: StackFiles, ports: Mapping[str, int], settings: Settings, common: Mapping[str, str]
) -> Service:
    store = open_store(settings, retries=1, timeout=5)

    def check() -> str | None:
        try:
            probe(store)
        except StoreError as error:
            return str(error)
        return None

    return Service(
        name="store",
        title="S3 store (SeaweedFS)",
        command=tuple(seaweed.command(files.store, ports)),
        # Go's collector lets garbage grow by a tenth of what is in use, not by all of it: most of
        # that is buffers without pointers, which are quick to mark.
        environment={"GOGC": "10", **common},
        ports=tuple(ports[flag] for flag in seaweed.PORT_FLAGS),
        url=settings.s3_endpoint,
        health_url=f"{settings.s3_endpoint}/healthz",
        check=check,
    )


def _prefect(port: int, settings: Settings, common: Mapping[str, str]) -> Service:
    health = f"{settings.prefect_api_url}/health"
    return Service(
        name="prefect",
        title="Prefect server",
        command=(
            *(sys.executable, "-m", "worker.prefect_server", "--no-prompt", "server", "start"),
            *("--host", LOOPBACK, "--port", str(port)),
        ),
        environment={
            **common,
            **{name: value for name, value in os.environ.items() if name.startswith(DATABASE)},
            "PREFECT_LOGGING_SERVER_LEVEL": "WARNING",
            # Pages of other origins than its own may not read what it answers, nor send it JSON.
            "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": (
                f"http://{LOOPBACK}:{port},http://localhost:{port}"
            ),
            # A thread a connection, each with an arena of its own, would keep what it once needed.
            "MALLOC_ARENA_MAX": "2",
            **(
                {"PREFECT_SERVER_API_AUTH_STRING": secret}
                if (secret := settings.prefect_auth)
                else {}
            ),
            # A retrain that waits for another one's end looks again after so many seconds.
            "PREFECT_SERVER_DEPLOYMENTS_CONCURRENCY_SLOT_WAIT_SECONDS": "2",
        },
        ports=(port,),
        url=f"http://{LOOPBACK}:{port}",
        health_url=health,
        check=lambda: answers(health),
    )


def _serving(
    files: StackFiles, port: int, settings: Settings, common: Mapping[str, str]
) -> Service:
    health = f"{settings.server_url}/v2/health/live"
    return Service(
        name="serving",
        title="inference server",
        command=(
            *(sys.executable, "-m", "perennial.serving", "--host", LOOPBACK),
            *("--port", str(port), "--dir", str(files.serving)),
        ),
        environment=common,
        ports=(port,),
        url=settings.server_url,
        health_url=health,
        check=lambda: answers(health),
    )


def _alerts(files: StackFiles, port: int, common: Mapping[str, str]) -> Service:
    files.ensure_alerts_token()
    url = f"http://{LOOPBACK}:{port}"
    health = f"{url}/v1/alerts/health"
    return Service(
        name="alerts",
        title="alerts",
        command=(
            *(sys.executable, "-m", "perennial", "alerts", "--dir", str(files.directory)),
            *("--host", LOOPBACK, "--port", str(port)),
        ),
        environment=common,
        ports=(port,),
        url=url,
        health_url=health,
        check=lambda: answers(health),
    )


def _worker(kind: WorkerKind, settings: Settings, common: Mapping[str, str]) -> Service:
    api_url = str(settings.prefect_address)
    return Service(
        name="worker",
        title=f"Prefect worker ({kind})",
        command=(
            *(sys.executable, "-m", "prefect", "--no-prompt", "worker", "start"),
            *("--pool", prefect_api.POOL, "--type", WORKER_TYPES[kind], "--name", WORKER_NAME),
        ),
        environment={
            **common,
            # The fork worker hears of a run by itself; the other one only asks.
            "PREFECT_WORKER_QUERY_SECONDS": "2" if kind == "fork" else "0.25",
            "PREFECT_WORKER_HEARTBEAT_SECONDS": "10",
            "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
            # The server is of the same installation; that it is, and what it protects itself
            # against, need not be asked for each run.
            "PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED": "false",
            "PREFECT_CLIENT_CSRF_SUPPORT_ENABLED": os.environ.get(_CSRF, "false"),
        },
        ports=(),
        url=None,
        health_url=None,
        check=lambda: prefect_api.worker_fault(api_url, WORKER_NAME),
    )
