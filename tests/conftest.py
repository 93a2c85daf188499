"""A real SeaweedFS for the whole session, and a clean environment for every test."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from hypothesis import settings as hypothesis_settings
from ulid import ULID

from benchmarks.ports import free_ports
from perennial.errors import StoreError
from perennial.local import seaweed
from perennial.settings import Settings
from perennial.store import Store, open_store, probe

_OURS = ("AWS_", "PREFECT_", "PERENNIAL_")
SERVERS = {"prefect_server", "demo"}
"""Fixtures that start a server of Prefect's, or the whole stack."""


def pytest_configure(config: pytest.Config) -> None:
    """Name the groups that `make test` leaves to `make test-servers` and `make test-slow`.

    Hypothesis tries the same examples in every run, so that a run can be repeated, however long a
    busy machine takes; with ``--hypothesis-profile=default`` it draws new ones, to go looking for
    faults.
    """
    config.addinivalue_line("markers", "servers: on a Prefect server, or with servers of their own")
    config.addinivalue_line("markers", "slow: over 20 s, most of them on the whole stack")
    hypothesis_settings.register_profile("same", derandomize=True, deadline=None)
    if config.getoption("--hypothesis-profile") is None:
        hypothesis_settings.load_profile("same")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever asks for one of `SERVERS` belongs to the group `servers`."""
    for item in items:
        if SERVERS & {*getattr(item, "fixturenames", ())}:
            item.add_marker(pytest.mark.servers)


@pytest.fixture(scope="session", autouse=True)
def _clean_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test depends on, or writes to, what the caller's shell points at."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(_OURS)]:
            patch.delenv(name)
        patch.setenv("PREFECT_HOME", str(tmp_path_factory.mktemp("prefect")))
        patch.setenv("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
        patch.setenv("DO_NOT_TRACK", "1")
        patch.setenv("GX_ANALYTICS_ENABLED", "false")
        patch.setenv("ORT_DISABLE_TELEMETRY", "1")
        yield


@pytest.fixture
def one_process() -> Iterator[None]:
    """Backtests without processes of their own, each of which takes seconds to start."""
    from tests.backtest.playing import in_one_process

    with in_one_process():
        yield


@pytest.fixture(scope="session")
def seaweed_ports() -> dict[str, int]:
    """Where the parts of SeaweedFS listen."""
    return free_ports(seaweed.PORT_FLAGS)


@pytest.fixture(scope="session")
def seaweedfs(
    _clean_environment: None,
    tmp_path_factory: pytest.TempPathFactory,
    seaweed_ports: dict[str, int],
) -> Iterator[Settings]:
    """Start SeaweedFS once; its settings name a bucket that the start-up made."""
    folder = tmp_path_factory.mktemp("seaweedfs")
    keys = seaweed.load_keys(folder / "keys.env")
    ports = seaweed_ports
    data = folder / "data"
    data.mkdir()
    log = folder / "weed.log"
    with log.open("wb") as sink:
        process = subprocess.Popen(
            seaweed.command(data, ports),
            env={**os.environ, **keys.environment(), **seaweed.guard(folder / "guard", keys)},
            cwd=folder,
            stdout=sink,
            stderr=sink,
            start_new_session=True,
        )
    try:
        settings = Settings(
            bucket="session",
            s3_endpoint=f"http://127.0.0.1:{ports['s3.port']}",
            access_key=keys.access_key,
            secret_key=keys.secret_key,
        )
        _wait_until_fit(settings, process, log)
        yield settings
    finally:
        process.terminate()
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_fit(settings: Settings, process: subprocess.Popen[bytes], log: Path) -> None:
    store = open_store(settings, retries=1, timeout=5)
    deadline = time.monotonic() + 60
    while True:
        try:
            return probe(store)
        except StoreError:
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"SeaweedFS did not start:\n{log.read_text()[-2000:]}")
            time.sleep(0.1)


@pytest.fixture
def settings(seaweedfs: Settings) -> Iterator[Settings]:
    """Settings of a bucket of the test's own; `store` makes it."""
    fresh = _fresh_bucket(seaweedfs)
    yield fresh
    _drop_bucket(fresh)


@pytest.fixture
def store(settings: Settings) -> Store:
    """An empty bucket on the real server."""
    opened = open_store(settings)
    opened.ensure_bucket()
    return opened


@pytest.fixture(scope="module")
def module_settings(seaweedfs: Settings) -> Iterator[Settings]:
    """Settings of a bucket that the tests of one module share."""
    fresh = _fresh_bucket(seaweedfs)
    yield fresh
    _drop_bucket(fresh)


@pytest.fixture(scope="module")
def module_store(module_settings: Settings) -> Store:
    """A bucket that the tests of one module share."""
    opened = open_store(module_settings)
    opened.ensure_bucket()
    return opened


def _fresh_bucket(server: Settings) -> Settings:
    return Settings(
        bucket=f"test-{ULID()}".lower(),
        s3_endpoint=server.s3_endpoint,
        access_key=server.access_key,
        secret_key=server.secret_key,
    )


def _drop_bucket(settings: Settings) -> None:
    """Give a bucket's volumes back: the server has only so many for all buckets together."""
    client = boto3.client(
        "s3",
        endpoint_url=settings.s3_endpoint,
        aws_access_key_id=settings.access_key,
        aws_secret_access_key=settings.secret_key,
        region_name=settings.region,
    )
    present = {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}
    for name in present & {settings.bucket, f"{settings.bucket}-new"}:
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=name):
            for item in page.get("Contents", ()):
                client.delete_object(Bucket=name, Key=item["Key"])
        client.delete_bucket(Bucket=name)
