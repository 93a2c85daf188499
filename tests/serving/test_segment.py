"""The log on the local disk."""

from __future__ import annotations

import fcntl
import io
import os
import resource
import threading
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import perennial.serving.log
from perennial.datasets.log import FEEDBACK_SCHEMA, prediction_schema
from perennial.errors import Conflict, StoreError
from perennial.serving.liveness import make_lock
from perennial.serving.log import SMALL_PATIENCE, Log
from perennial.serving.parquet import to_parquet
from perennial.serving.segment import (
    CLOSED,
    FeedbackRecord,
    LogFull,
    PredictionRecord,
    frame,
    frames,
    read_segment,
)
from perennial.serving.upload import Uploader, close_orphans, count_waiting
from tests.serving.serving_models import REGRESSION

payloads = st.lists(st.binary(min_size=1, max_size=200), max_size=8)


@given(payloads, st.integers(0, 2000))
def test_of_a_file_that_was_cut_anywhere_the_whole_frames_are_read(
    parts: list[bytes], cut: int
) -> None:
    data = b"".join(frame(part) for part in parts)
    read = [bytes(payload) for payload in frames(data[:cut])]
    assert read == parts[: len(read)]
    whole = sum(1 for i in range(len(parts)) if sum(len(p) + 8 for p in parts[: i + 1]) <= cut)
    assert len(read) == whole


@given(payloads.filter(bool), st.data())
def test_a_damaged_frame_is_never_read(parts: list[bytes], data: st.DataObject) -> None:
    whole = bytearray(b"".join(frame(part) for part in parts))
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] ^= 1 << data.draw(st.integers(0, 7))
    read = [bytes(payload) for payload in frames(bytes(whole))]
    assert read == parts[: len(read)]
    assert len(read) < len(parts)


def make_log(directory: Path, **options: float) -> Log:
    settings = {"segment_size": 1 << 20, "segment_age": 1.0, "bound": 1 << 30, **options}
    return Log(directory, "w1", **settings)


def record(*ids: str) -> PredictionRecord:
    rows = len(ids)
    return PredictionRecord(
        time=1_700_000_000_000_000,
        version="0001-a",
        role="champion",
        latency=17,
        rows=rows,
        ids=list(ids),
        numeric=np.array([[1.5, np.nan]] * rows).tobytes(),
        categorical=[["a"]] * rows,
        context=[["noon"]] * rows,
        output=np.array([[2.5]] * rows, dtype=np.float32).tobytes(),
    )


SIGNATURE = REGRESSION.model_dump_json()


def test_few_rows_wait_for_more_and_many_do_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr(perennial.serving.log.time, "monotonic", lambda: clock[0])
    log = make_log(tmp_path)

    def closed(pipeline: str) -> bool:
        log.close_old()
        [path] = (tmp_path / pipeline / "predictions").iterdir()
        return path.suffix == CLOSED

    for pipeline in ("few", "one"):
        log.predictions(pipeline, SIGNATURE, record("a"))
    log.predictions("many", SIGNATURE, record(*map(str, range(200))))
    assert not closed("many")
    clock[0] += 1.0
    assert closed("many")
    assert not closed("one")
    for _ in range(SMALL_PATIENCE - 2):
        log.predictions("few", SIGNATURE, record("b"))
        clock[0] += 1.0
        assert not closed("few")
    assert closed("one")
    log.predictions("few", SIGNATURE, record("c"))
    clock[0] += 1.0
    assert closed("few")
    log.close()


def test_what_was_logged_is_read_back(tmp_path: Path) -> None:
    log = make_log(tmp_path)
    log.predictions("bike", SIGNATURE, record("a", "b"))
    log.feedback("bike", [FeedbackRecord(1, "a", "2.0"), FeedbackRecord(2, "b", '"x"')])
    log.close()
    [predictions] = (tmp_path / "bike/predictions").iterdir()
    [feedback] = (tmp_path / "bike/feedback").iterdir()
    assert read_segment(predictions).predictions == [record("a", "b")]
    assert [r.label for r in read_segment(feedback).feedback] == ["2.0", '"x"']


def test_a_segment_becomes_the_parquet_file_that_readers_expect(tmp_path: Path) -> None:
    log = make_log(tmp_path)
    log.predictions("bike", SIGNATURE, record("a", "b"))
    log.feedback("bike", [FeedbackRecord(1, "a", "2.0")])
    log.close()
    [path] = (tmp_path / "bike/predictions").iterdir()
    table = pq.read_table(io.BytesIO(to_parquet(read_segment(path))))
    assert table.schema.metadata == prediction_schema(REGRESSION).metadata
    assert table.cast(prediction_schema(REGRESSION)).num_rows == 2
    row = table.to_pylist()[1]
    assert row["features"] == {"x": 1.5, "city": "a", "z": None, "ts": "noon"}
    assert (row["id"], row["output"], row["latency"]) == ("b", [2.5], 17)
    assert (row["key"], row["weight"]) == (None, 0.0)
    [path] = (tmp_path / "bike/feedback").iterdir()
    table = pq.read_table(io.BytesIO(to_parquet(read_segment(path))))
    assert table.schema.equals(FEEDBACK_SCHEMA, check_metadata=True)


def test_beyond_its_bound_the_log_refuses(tmp_path: Path) -> None:
    log = make_log(tmp_path, bound=100)
    log.waiting = 101
    with pytest.raises(LogFull, match="bound"):
        log.predictions("bike", SIGNATURE, record("a"))


def test_a_full_disk_refuses_and_leaves_whole_frames(tmp_path: Path) -> None:
    log = make_log(tmp_path)
    log.predictions("bike", SIGNATURE, record("before"))
    [path] = (tmp_path / "bike/predictions").iterdir()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 20, hard))
    try:
        for _ in range(2):
            with pytest.raises(LogFull, match="full"):
                log.predictions("bike", SIGNATURE, record("refused"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    log.predictions("bike", SIGNATURE, record("after"))
    assert [r.ids for r in read_segment(path).predictions] == [["before"], ["after"]]


def test_a_segment_that_has_grown_is_closed(tmp_path: Path) -> None:
    log = make_log(tmp_path, segment_size=500)
    for number in range(10):
        log.predictions("bike", SIGNATURE, record(str(number)))
    names = [p.suffix for p in (tmp_path / "bike/predictions").iterdir()]
    assert names.count(".closed") > 1
    log.close()
    ids = [
        i
        for p in (tmp_path / "bike/predictions").iterdir()
        for r in read_segment(p).predictions
        for i in r.ids
    ]
    assert sorted(ids) == [str(n) for n in range(10)]


def test_only_the_segments_of_dead_workers_are_taken_over(tmp_path: Path) -> None:
    locks = tmp_path / "locks"
    locks.mkdir()
    (locks / "w1").touch()
    log = make_log(tmp_path / "log")
    log.predictions("bike", SIGNATURE, record("a"))
    [path] = (tmp_path / "log/bike/predictions").iterdir()
    with (locks / "w1").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        close_orphans(tmp_path / "log", locks)
        assert path.exists()
    close_orphans(tmp_path / "log", locks)
    assert path.with_suffix(".closed").exists()
    assert not (locks / "w1").exists()


def test_no_worker_is_taken_for_dead_before_it_is_born(tmp_path: Path) -> None:
    locks = tmp_path / "locks"
    locks.mkdir()
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            close_orphans(tmp_path / "log", locks)

    watcher = threading.Thread(target=look)
    watcher.start()
    held = [make_lock(locks, f"w{number}") for number in range(300)]
    stop.set()
    watcher.join()
    assert len(list(locks.iterdir())) == 300
    for fd in held:
        os.close(fd)
    close_orphans(tmp_path / "log", locks)
    assert not list(locks.iterdir())


def test_a_segment_that_cannot_be_read_holds_nobody_up(tmp_path: Path) -> None:
    folder = tmp_path / "bike" / "predictions"
    folder.mkdir(parents=True)
    (folder / "01ARZ3NDEKTSV4RRFFQ69G5FAV.3.sealed").write_bytes(b"damaged")
    (folder / "w0-1.closed").write_bytes(frame(b"no msgpack of ours"))
    log = make_log(tmp_path)
    log.predictions("bike", SIGNATURE, record("lost", "b"))
    log.close()
    [path] = folder.glob("w1-*.closed")
    path.rename(folder / "01ARZ3NDEKTSV4RRFFQ69G5FAW.3.sealed")
    log = make_log(tmp_path)
    log.predictions("bike", SIGNATURE, record("a"))
    log.close()
    store = FlakyStore([])
    uploader = Uploader(store, tmp_path, tmp_path / "no-locks")
    assert uploader.run_once() == 1
    assert uploader.broken == 3
    assert arrived(store) == ["a"]
    assert len(list(folder.glob("*.broken"))) == 3
    assert count_waiting(tmp_path).files == 0


class FlakyStore:
    """Keeps what is put; fails, before or after that, when told to."""

    def __init__(self, faults: list[str]) -> None:
        self.objects: dict[str, bytes] = {}
        self.faults = faults

    def put(self, key: str, data: bytes, *, if_absent: bool) -> None:
        fault = self.faults.pop() if self.faults else "none"
        if fault == "before":
            raise StoreError("away")
        if key in self.objects:
            raise Conflict(key)
        self.objects[key] = data
        if fault == "after":
            raise StoreError("the answer was lost")
        if fault == "killed":
            raise KeyboardInterrupt

    def get(self, key: str) -> bytes:
        return self.objects[key]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(1, 3), min_size=1, max_size=4),
    st.lists(st.sampled_from(["none", "before", "after", "killed"]), max_size=8),
)
def test_whatever_fails_every_row_arrives_exactly_once(
    tmp_path_factory: pytest.TempPathFactory, segments: list[int], faults: list[str]
) -> None:
    directory = tmp_path_factory.mktemp("log")
    ids = []
    for number, rows in enumerate(segments):
        log = Log(directory, f"w{number}", segment_size=1 << 20, segment_age=1.0, bound=1 << 30)
        names = [f"{number}-{row}" for row in range(rows)]
        log.predictions("bike", SIGNATURE, record(*names))
        ids += names
    store = FlakyStore(list(faults))
    for _ in range(len(faults) + 1):
        uploader = Uploader(store, directory, directory / "no-locks")
        try:
            uploader.run_once()
        except (StoreError, KeyboardInterrupt):
            continue
    assert not list(directory.glob("*/*/*"))
    assert sorted(arrived(store)) == sorted(ids)


def arrived(store: FlakyStore) -> list[str]:
    tables = [pq.read_table(io.BytesIO(data)) for data in store.objects.values()]
    return [i for table in tables for i in table.column("id").to_pylist()]
