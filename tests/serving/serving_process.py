"""A real server as a child process, and what it left in the store."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.ports import free_port
from perennial.settings import Settings
from perennial.store import Store, layout

_PATIENCE = 30.0


class ServerProcess:
    """One ``python -m perennial.serving``."""

    def __init__(self, settings: Settings, directory: Path, port: int, **options: object) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.directory = directory
        self._command = [sys.executable, "-m", "perennial.serving", "--port", str(port)]
        self._command += ["--dir", str(directory), "--workers", str(options.pop("workers", 1))]
        self._env = {
            **os.environ,
            "PERENNIAL_S3_ENDPOINT": settings.s3_endpoint or "",
            "PERENNIAL_BUCKET": settings.bucket,
            "AWS_ACCESS_KEY_ID": settings.access_key or "",
            "AWS_SECRET_ACCESS_KEY": settings.secret_key or "",
            **{f"PERENNIAL_SERVE_{key.upper()}": str(value) for key, value in options.items()},
        }
        self.client = httpx.Client(base_url=self.url, timeout=20)
        self.start()

    def start(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        with (self.directory / "stderr.txt").open("ab") as sink:
            self.process = subprocess.Popen(
                self._command, env=self._env, stderr=sink, start_new_session=True
            )
        wait_for(lambda: self._is_live() or self.process.poll() is not None)
        if self.process.poll() is not None:
            raise AssertionError(self.stderr())

    def stderr(self) -> str:
        return (self.directory / "stderr.txt").read_text()

    def _is_live(self) -> bool:
        try:
            return self.client.get("/v2/health/live").status_code == 200
        except httpx.TransportError:
            return False

    def workers(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children()

    def kill(self) -> None:
        """End everything without a chance to clean up."""
        family = [psutil.Process(self.process.pid), *self.workers()]
        for process in family:
            with suppress(psutil.NoSuchProcess):  # a worker ends by itself with its server
                process.kill()
        self.process.wait()
        psutil.wait_procs(family, timeout=10)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=30)

    def wait_for_version(self, pipeline: str, version: str | None) -> None:
        def serves() -> bool:
            models = self.client.get("/v2/health/ready").json()["models"]
            return models.get(pipeline, "absent") == version

        wait_for(serves)

    def predict(self, pipeline: str, rows: list[Any], **more: Any) -> httpx.Response:
        headers = more.pop("headers", {})
        body = {"rows": rows, **more}
        return self.client.post(f"/v1/models/{pipeline}:predict", json=body, headers=headers)


@contextmanager
def running_server(
    settings: Settings, directory: Path, **options: object
) -> Iterator[ServerProcess]:
    """Start a server on a free port; end it and all its workers, whatever happens."""
    port = free_port()
    server = ServerProcess(settings, directory, port, **options)
    try:
        yield server
    finally:
        server.client.close()
        if server.process.poll() is None:
            server.kill()


def wait_for(condition: Callable[[], bool], patience: float = _PATIENCE) -> None:
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def read_log(store: Store, prefix: str) -> pa.Table | None:
    """All segments under a prefix, the names checked against the contents."""
    tables = []
    for info in store.scan(prefix):
        table = pq.read_table(io.BytesIO(store.get(info.key).data))
        assert table.num_rows == layout.segment_rows(info.key)
        tables.append(table)
    return pa.concat_tables(tables) if tables else None


def logged_ids(store: Store, pipeline: str) -> list[str]:
    table = read_log(store, layout.prediction_log(pipeline))
    return [] if table is None else table.column("id").to_pylist()
