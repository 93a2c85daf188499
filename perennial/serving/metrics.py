"""Counters and histograms of one process, and their sum over all processes of a server.

Prometheus text exposition, version 0.0.4. Every process keeps its own numbers and writes them to
``DIR/run/<writer>.metrics`` twice a second; whoever is asked adds up the files of the others and
its own numbers. The file of a dead worker stays until the server starts anew, so that sums only
grow; what it said of the moment counts no more.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from pathlib import Path
from typing import Literal

import msgspec

from perennial.serving.lineup import replace_file

Labels = tuple[str, ...]
Kind = Literal["counter", "gauge", "histogram"]

SUFFIX = ".metrics"
_SILENCE = 30.0
LATENCY_BUCKETS = (
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    10.0,
)  # fmt: skip


class Family(msgspec.Struct):
    """A metric with all its label values. A histogram's value is its buckets, then its sum."""

    name: str
    help: str
    kind: Kind
    labels: tuple[str, ...] = ()
    values: dict[str, list[float]] = {}


class Meter:
    """Counts the answers of one model in one role."""

    def __init__(
        self, lock: threading.Lock, requests: list[float], rows: list[float], seconds: list[float]
    ) -> None:
        self._lock = lock
        self._requests = requests
        self._rows = rows
        self._seconds = seconds

    def count(self, rows: int, seconds: float) -> None:
        """Count one answer."""
        with self._lock:
            self._requests[0] += 1
            self._rows[0] += rows
            self._seconds[bisect_left(LATENCY_BUCKETS, seconds)] += 1
            self._seconds[-1] += seconds

    def count_rows(self, seconds: list[float]) -> None:
        """Count answers for one row each."""
        with self._lock:
            self._requests[0] += len(seconds)
            self._rows[0] += len(seconds)
            for value in seconds:
                self._seconds[bisect_left(LATENCY_BUCKETS, value)] += 1
            self._seconds[-1] += sum(seconds)


class Metrics:
    """The numbers of one process. Safe to share between threads."""

    def __init__(self, families: tuple[Family, ...]) -> None:
        self._families = {family.name: family for family in families}
        self._lock = threading.Lock()
        self._meters: dict[Labels, Meter] = {}

    def add(self, name: str, labels: Labels = (), amount: float = 1.0) -> None:
        """Count."""
        with self._lock:
            self._value(name, labels)[0] += amount

    def set(self, name: str, value: float, labels: Labels = ()) -> None:
        """Say how much there is now."""
        with self._lock:
            self._value(name, labels)[0] = value

    def meter(self, model: str, version: str, role: str) -> Meter:
        """Give what counts the answers of a model: of a worker's metrics only."""
        labels = (model, version, role)
        meter = self._meters.get(labels)
        if meter is None:
            with self._lock:
                meter = self._meters[labels] = Meter(
                    self._lock,
                    self._value("perennial_requests_total", (*labels, "200")),
                    self._value("perennial_rows_total", labels),
                    self._value("perennial_request_seconds", labels),
                )
        return meter

    def _value(self, name: str, labels: Labels) -> list[float]:
        family = self._families[name]
        size = len(LATENCY_BUCKETS) + 2 if family.kind == "histogram" else 1
        return family.values.setdefault("\x00".join(labels), [0.0] * size)

    def dump(self) -> bytes:
        """Write all numbers for another process to add up."""
        with self._lock:
            return msgspec.msgpack.encode(list(self._families.values()))

    def write(self, path: Path) -> None:
        """Put the numbers where the other processes find them."""
        replace_file(path, self.dump(), durable=False)


_decode = msgspec.msgpack.Decoder(list[Family]).decode


def exposition(own: Metrics, directory: Path, own_file: Path) -> str:
    """Add up the numbers of all processes and write them for Prometheus.

    Args:
        directory: where the processes put their numbers.
        own_file: this process's file: passed over, its numbers are newer here.
    """
    total = {family.name: family for family in _decode(own.dump())}
    for path in sorted(directory.glob(f"*{SUFFIX}")):
        if path == own_file:
            continue
        is_alive = time.time() - path.stat().st_mtime < _SILENCE
        for family in _decode(path.read_bytes()):
            if is_alive or family.kind != "gauge":
                _merge(total.setdefault(family.name, family), family)
    return "".join(_text(family) for family in total.values())


def _merge(total: Family, family: Family) -> None:
    if total is family:
        return
    for key, values in family.values.items():
        before = total.values.get(key)
        if before is None:
            total.values[key] = values
        else:
            total.values[key] = [a + b for a, b in zip(before, values, strict=True)]


def _text(family: Family) -> str:
    lines = [f"# HELP {family.name} {family.help}", f"# TYPE {family.name} {family.kind}"]
    for key, values in sorted(family.values.items()):
        labels = list(zip(family.labels, key.split("\x00"), strict=False)) if family.labels else []
        if family.kind == "histogram":
            lines.extend(_histogram_lines(family.name, labels, values))
        else:
            lines.append(f"{family.name}{_braces(labels)} {values[0]:.17g}")
    return "\n".join(lines) + "\n"


def _histogram_lines(name: str, labels: list[tuple[str, str]], values: list[float]) -> list[str]:
    lines = []
    count = 0.0
    for bound, value in zip((*LATENCY_BUCKETS, None), values[:-1], strict=True):
        count += value
        edge = "+Inf" if bound is None else f"{bound:g}"
        lines.append(f"{name}_bucket{_braces([*labels, ('le', edge)])} {count:.17g}")
    lines.append(f"{name}_sum{_braces(labels)} {values[-1]:.17g}")
    lines.append(f"{name}_count{_braces(labels)} {count:.17g}")
    return lines


def _braces(labels: list[tuple[str, str]]) -> str:
    if not labels:
        return ""
    pairs = ",".join(f'{name}="{_escape(value)}"' for name, value in labels)
    return "{" + pairs + "}"


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def worker_metrics() -> Metrics:
    """Make the metrics of a worker."""
    model = ("model", "version", "role")
    return Metrics(
        (
            Family(
                "perennial_requests_total",
                "Requests by model, version, role and HTTP status.",
                "counter",
                (*model, "status"),
            ),
            Family(
                "perennial_request_seconds",
                "Time from a request's last byte to its answer.",
                "histogram",
                model,
            ),
            Family("perennial_rows_total", "Rows answered.", "counter", model),
            Family("perennial_feedback_total", "Labels taken.", "counter", ("model",)),
            Family(
                "perennial_model_failures_total",
                "Requests that a model could not answer, through no fault of theirs.",
                "counter",
                ("model",),
            ),
            Family(
                "perennial_challenger_failures_total",
                "Answers that the champion had to give in the challenger's place.",
                "counter",
                ("model", "version"),
            ),
            Family("perennial_shadow_dropped_total", "Shadow requests dropped.", "counter"),
            Family("perennial_shadow_failures_total", "Shadow requests that failed.", "counter"),
            Family("perennial_log_refusals_total", "Requests refused by the log.", "counter"),
            Family(
                "perennial_model_load_failures_total",
                "Pipelines whose models a worker could not load.",
                "counter",
            ),
            Family("perennial_requests_in_flight", "Requests being answered now.", "gauge"),
            Family("perennial_large_requests", "Large requests, waiting or answered.", "gauge"),
            Family("perennial_shadow_waiting", "Shadow requests that wait.", "gauge"),
        )
    )


def agent_metrics() -> Metrics:
    """Make the metrics of the process that talks to the store."""
    return Metrics(
        (
            Family("perennial_log_waiting_bytes", "Log that is not in the store yet.", "gauge"),
            Family(
                "perennial_log_waiting_segments", "Segments that are not in the store yet.", "gauge"
            ),
            Family("perennial_log_lag_seconds", "Age of the oldest segment on the disk.", "gauge"),
            Family("perennial_log_uploaded_rows_total", "Rows put into the store.", "counter"),
            Family("perennial_log_broken_segments_total", "Segments set aside.", "counter"),
            Family("perennial_store_failures_total", "Rounds without the store.", "counter"),
            Family("perennial_state_age_seconds", "Time since each state.json was read.", "gauge"),
            Family("perennial_models_refused", "Versions refused now.", "gauge", ("model",)),
            Family("perennial_pipelines", "Pipelines in the line-up.", "gauge"),
            Family("perennial_worker_restarts_total", "Workers started anew.", "counter"),
        )
    )
