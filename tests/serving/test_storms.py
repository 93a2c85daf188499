"""What a server lives through in production, faster: kills, swaps, a store that comes and goes."""

from __future__ import annotations

import os
import random
import resource
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from benchmarks.ports import free_ports
from benchmarks.serving import models as benchmark
from perennial.local import seaweed
from perennial.settings import Settings
from perennial.store import Store, layout, open_store, probe
from tests.serving.serving_models import put_state, put_version, sum_model
from tests.serving.serving_process import (
    ServerProcess,
    logged_ids,
    read_log,
    running_server,
    wait_for,
)

pytestmark = pytest.mark.slow


@dataclass
class Load:
    """Clients that ask and tell all the time, and what they were answered."""

    url: str
    clients: int = 6
    answered: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)
    versions: list[tuple[float, float, str]] = field(default_factory=list)
    """When a request began and ended, and who answered it."""

    @contextmanager
    def running(self) -> Iterator[None]:
        stop = threading.Event()
        threads = [
            threading.Thread(target=self._ask, args=(f"c{number}", stop))
            for number in range(self.clients)
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stop.set()
            for thread in threads:
                thread.join()

    def _ask(self, name: str, stop: threading.Event) -> None:
        number = 0
        with httpx.Client(base_url=self.url, timeout=20) as client:
            while not stop.is_set():
                number += 1
                try:
                    self._ask_once(client, f"{name}-{number}")
                except httpx.TransportError:
                    time.sleep(0.01)

    def _ask_once(self, client: httpx.Client, name: str) -> None:
        body = {"rows": [{"x": 1.0}], "ids": [name]}
        began = time.monotonic()
        answer = client.post("/v1/models/bike:predict", json=body)
        self.statuses[answer.status_code] = self.statuses.get(answer.status_code, 0) + 1
        if answer.status_code != 200:
            time.sleep(0.01)
            return
        self.answered.append(name)
        self.versions.append((began, time.monotonic(), answer.json()["version"]))
        told = client.post("/v1/models/bike:feedback", json={"id": name, "label": 1.0})
        if told.status_code == 200:
            self.told.append(name)


def see_that_all_arrived(store: Store, load: Load) -> None:
    """Every answered id is in the store exactly once, and every label that was taken."""
    ids = logged_ids(store, "bike")
    assert len(load.answered) > 100
    assert len(ids) == len(set(ids))
    assert set(load.answered) <= set(ids)
    labels = read_log(store, layout.feedback_log("bike")).column("id").to_pylist()
    assert set(load.told) <= set(labels)


def test_killed_again_and_again_nothing_that_was_answered_is_lost(
    settings: Settings, store: Store, tmp_path: Path
) -> None:
    put_version(store, "bike", "0001-a", sum_model())
    put_state(store, "bike", "0001-a")
    choose = random.Random(0)
    with running_server(settings, tmp_path / "server", workers=2, segment_age=0.3) as server:
        server.wait_for_version("bike", "0001-a")
        load = Load(server.url)
        with load.running():
            for _ in range(12):
                time.sleep(choose.uniform(0.2, 1.2))
                kill_one(server, choose)
            time.sleep(1)
        assert server.stop() == 0
    see_that_all_arrived(store, load)
    assert set(load.statuses) <= {200, 503}


def kill_one(server: ServerProcess, choose: random.Random) -> None:
    """Kill a worker, the process that uploads, or all of them; what is gone is started anew."""
    victim = choose.choice(["worker", "worker", "uploader", "all"])
    if victim == "worker":
        if workers := server.workers():
            choose.choice(workers).kill()
    elif victim == "uploader":
        server.process.kill()
        server.process.wait()
        server.start()
    else:
        server.kill()
        server.start()


def test_twenty_swaps_under_load_fail_no_request_and_leave_no_old_answers(
    settings: Settings, store: Store, tmp_path: Path
) -> None:
    swaps = 20
    names = [f"{number:04}-a" for number in range(swaps + 1)]
    for number, name in enumerate(names):
        put_version(store, "bike", name, sum_model(number))
    put_state(store, "bike", names[0])
    retired: dict[str, float] = {}
    with running_server(settings, tmp_path / "server", workers=2) as server:
        server.wait_for_version("bike", names[0])
        load = Load(server.url)
        with load.running():
            for number in range(1, swaps + 1):
                put_state(store, "bike", names[number], revision=number)
                retired[names[number - 1]] = time.monotonic()
                time.sleep(0.8)
            time.sleep(2)
        held = server.client.get("/v2/models/bike").json()["versions"]
    assert set(load.statuses) == {200}
    stale = [v for began, _, v in load.versions if began > retired.get(v, float("inf")) + 2]
    assert stale == []
    assert load.versions[-1][2] == names[-1]
    assert held == [names[-1]]


class OwnStore:
    """A SeaweedFS of the test's own, which comes and goes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (folder / "data").mkdir(parents=True)
        self._keys = seaweed.load_keys(folder / "keys.env")
        self._ports = free_ports(seaweed.PORT_FLAGS)
        self.settings = Settings(
            bucket="storms",
            s3_endpoint=f"http://127.0.0.1:{self._ports['s3.port']}",
            access_key=self._keys.access_key,
            secret_key=self._keys.secret_key,
        )
        self.start()

    def start(self) -> None:
        with (self._folder / "log.txt").open("ab") as sink:
            self.process = subprocess.Popen(
                seaweed.command(self._folder / "data", self._ports),
                env={**os.environ, **self._keys.environment()},
                cwd=self._folder,
                stdout=sink,
                stderr=sink,
                start_new_session=True,
            )
        wait_for(self._is_there, patience=60)

    def _is_there(self) -> bool:
        try:
            probe(open_store(self.settings, retries=1, timeout=5))
        except Exception:  # whatever a store says that is not there yet
            return False
        return True

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def own_store(tmp_path: Path) -> Iterator[OwnStore]:
    made = OwnStore(tmp_path / "store")
    try:
        yield made
    finally:
        made.stop()


def test_a_store_that_goes_and_comes_back_costs_nothing_but_time(
    own_store: OwnStore, tmp_path: Path
) -> None:
    store = open_store(own_store.settings)
    put_version(store, "bike", "0001-a", sum_model())
    put_version(store, "bike", "0002-b", sum_model(1))
    put_state(store, "bike", "0001-a")
    with running_server(own_store.settings, tmp_path / "server", segment_age=0.3) as server:
        server.wait_for_version("bike", "0001-a")
        load = Load(server.url, clients=3)
        with load.running():
            for _ in range(2):
                time.sleep(1)
                own_store.stop()
                time.sleep(4)
                assert waiting_segments(server) > 0
                own_store.start()
            put_state(store, "bike", "0002-b", revision=1)
            server.wait_for_version("bike", "0002-b")
        assert set(load.statuses) == {200}
        wait_for(lambda: set(load.answered) <= set(logged_ids(store, "bike")))
        wait_for(lambda: waiting_segments(server) == 0)
        assert server.stop() == 0
    see_that_all_arrived(store, load)


def waiting_segments(server: ServerProcess) -> float:
    return metric(server, "perennial_log_waiting_segments")


def metric(server: ServerProcess, name: str) -> float:
    lines = server.client.get("/metrics").text.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


def test_fifty_pipelines_are_served_and_followed(
    settings: Settings, store: Store, tmp_path: Path
) -> None:
    names = [f"p{number:02}" for number in range(50)]
    for number, name in enumerate(names):
        put_version(store, name, "0001-a", sum_model(number))
        put_version(store, name, "0002-b", sum_model(number + 0.5))
        put_state(store, name, "0001-a")
    with running_server(settings, tmp_path / "server", workers=2) as server:
        server.wait_for_version(names[-1], "0001-a")
        for number, name in enumerate(names):
            answer = server.predict(name, [{"x": 1}]).json()
            assert answer["predictions"][0]["value"] == number + 1
        for name in (names[0], names[25], names[49]):
            began = time.monotonic()
            put_state(store, name, "0002-b", revision=1)
            server.wait_for_version(name, "0002-b")
            assert time.monotonic() - began < 2
        assert metric(server, "perennial_pipelines") == 50
        assert len(server.client.get("/openapi.json").json()["paths"]) > 250
        assert all(worker.memory_info().rss < 200 << 20 for worker in server.workers())


def test_a_worker_with_two_models_is_small(
    settings: Settings, store: Store, tmp_path: Path
) -> None:
    numbers, mixed = benchmark.make_data(20, 0), benchmark.make_data(10, 10)
    benchmark.register(store, "numbers", numbers)
    benchmark.register(store, "mixed", mixed)
    body, head = benchmark.binary_body(numbers)
    with running_server(settings, tmp_path / "server") as server:
        server.wait_for_version("mixed", "0001")
        for _ in range(20):
            length = {"Inference-Header-Content-Length": str(head)}
            answer = server.client.post("/v2/models/numbers/infer", content=body, headers=length)
            assert answer.status_code == 200
            answer = server.client.post(
                "/v1/models/mixed:predict", content=benchmark.named_body(mixed)
            )
            assert answer.status_code == 200
        [worker] = server.workers()
        assert worker.memory_info().rss < 200 << 20


def test_a_full_disk_is_said_and_what_was_answered_is_kept(
    settings: Settings, store: Store, tmp_path: Path
) -> None:
    put_version(store, "bike", "0001-a", sum_model())
    put_state(store, "bike", "0001-a")
    limit = 60_000  # a file that reaches it cannot grow, as on a disk that is full
    with running_server(settings, tmp_path / "server", segment_age=60) as server:
        server.wait_for_version("bike", "0001-a")
        [worker] = server.workers()
        resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, (limit, limit))
        answered = []
        for number in range(1000):
            ids = [f"{number}-{row}" for row in range(20)]
            answer = server.predict("bike", [{"x": 1}] * 20, ids=ids)
            if answer.status_code != 200:
                break
            answered += ids
        assert answer.status_code == 503
        assert answer.headers["retry-after"]
        assert "disk is full" in answer.json()["error"]
        told = server.client.post("/v1/models/bike:feedback", json={"id": "a", "label": 1})
        assert told.status_code == 200  # it goes into another file
        assert metric(server, "perennial_log_refusals_total") >= 1
        assert server.client.get("/v2/health/live").status_code == 200
        assert server.stop() == 0
    assert sorted(logged_ids(store, "bike")) == sorted(answered)
