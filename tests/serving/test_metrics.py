"""Numbers of several processes, added up."""

from __future__ import annotations

import os
import time
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from perennial.serving.metrics import agent_metrics, exposition, worker_metrics


def samples(text: str) -> dict[tuple[str, str], float]:
    return {
        (sample.name, ",".join(f"{k}={v}" for k, v in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_the_numbers_of_all_processes_are_added_up(tmp_path: Path) -> None:
    one, two, agent = worker_metrics(), worker_metrics(), agent_metrics()
    one.meter("m", "1", "champion").count(3, 0.002)
    two.meter("m", "1", "champion").count(4, 0.2)
    two.meter("m", "2", "challenger").count(1, 99.0)
    agent.set("perennial_pipelines", 5)
    for metrics, name in ((one, "one"), (two, "two"), (agent, "agent")):
        metrics.write(tmp_path / f"{name}.metrics")
    found = samples(exposition(one, tmp_path, tmp_path / "one.metrics"))
    champion = "model=m,role=champion,version=1"
    assert found["perennial_rows_total", champion] == 7
    assert found["perennial_requests_total", "model=m,role=champion,status=200,version=1"] == 2
    assert found["perennial_request_seconds_count", champion] == 2
    assert found["perennial_request_seconds_bucket", f"le=0.0025,{champion}"] == 1
    assert found["perennial_request_seconds_bucket", f"le=0.25,{champion}"] == 2
    late = "le=+Inf,model=m,role=challenger,version=2"
    assert found["perennial_request_seconds_bucket", late] == 1
    assert found["perennial_pipelines", ""] == 5


def test_of_a_process_that_is_gone_only_the_sums_count(tmp_path: Path) -> None:
    here, gone = worker_metrics(), worker_metrics()
    gone.add("perennial_feedback_total", ("m",), 2)
    gone.set("perennial_requests_in_flight", 9)
    gone.write(tmp_path / "gone.metrics")
    long_ago = time.time() - 100
    os.utime(tmp_path / "gone.metrics", (long_ago, long_ago))
    found = samples(exposition(here, tmp_path, tmp_path / "here.metrics"))
    assert found["perennial_feedback_total", "model=m"] == 2
    assert ("perennial_requests_in_flight", "") not in found


def test_label_values_are_escaped(tmp_path: Path) -> None:
    metrics = worker_metrics()
    metrics.add("perennial_feedback_total", ('a"b\\c\nd',))
    found = samples(exposition(metrics, tmp_path, tmp_path / "none"))
    assert found["perennial_feedback_total", 'model=a"b\\c\nd'] == 1
