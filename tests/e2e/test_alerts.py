"""The real Prometheus and Alertmanager: a slow model under load is stepped back from by itself."""

from __future__ import annotations

import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks.ports import free_ports
from benchmarks.rollout.challengers import slowed
from perennial.registry import Declaration, read_history, read_state
from perennial.spec import PipelineSpec
from perennial.store import layout
from tests.alerts.test_service import TOKEN, running_alerts
from tests.serving.serving_models import REGRESSION, put_state, put_version, sum_model
from tests.serving.serving_process import ServerProcess, running_server, wait_for

INFRA = Path(__file__).resolve().parents[2] / "infra"
ALERTMANAGER = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
PROMETHEUS = shutil.which("prometheus")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (ALERTMANAGER and PROMETHEUS), reason="Prometheus or Alertmanager is not installed"
    ),
]


@contextmanager
def running(command: list[str], folder: Path) -> Iterator[None]:
    with (folder / f"{Path(command[0]).name}.log").open("wb") as sink:
        process = subprocess.Popen(command, cwd=folder, stdout=sink, stderr=sink)
        try:
            yield
        finally:
            process.terminate()
            process.wait(timeout=30)


def configure(folder: Path, serving: int, alerts: int, alertmanager: int) -> None:
    """Write what lies in infra/ with the ports of the test and with spans of seconds."""
    (folder / "alerts.token").write_text(TOKEN)
    rules = (INFRA / "prometheus" / "rules.yml").read_text()
    rules = re.sub(r"\[\d+[mh]\]", "[10s]", re.sub(r"for: \d+[mh]", "for: 2s", rules))
    (folder / "rules.yml").write_text(rules)
    prometheus: dict[str, Any] = yaml.safe_load(
        (INFRA / "prometheus" / "prometheus.yml").read_text()
        .replace("8080", str(serving)).replace("8081", str(alerts))
        .replace("9093", str(alertmanager)).replace("localhost", "127.0.0.1")
    )  # fmt: skip
    prometheus["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    (folder / "prometheus.yml").write_text(yaml.safe_dump(prometheus))
    route = (INFRA / "alertmanager" / "alertmanager.yml").read_text()
    route = route.replace("localhost:8081", f"127.0.0.1:{alerts}")
    (folder / "alertmanager.yml").write_text(route)


@contextmanager
def load(server: ServerProcess) -> Iterator[list[int]]:
    """Ask row after row; gives the statuses."""
    statuses: list[int] = []
    over = threading.Event()

    def ask() -> None:
        while not over.wait(0.05):
            statuses.append(server.predict("bike", [{"x": 1.0, "city": "a"}]).status_code)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield statuses
    finally:
        over.set()
        thread.join()


def test_a_slow_model_is_stepped_back_from_without_a_hand(settings, store, tmp_path):
    spec = PipelineSpec(name="bike", task="regression", source={"uri": "s3://b/x.csv"}, target="y")
    store.put_json(layout.declaration("bike"), Declaration(spec=spec))
    put_version(store, "bike", "v1", sum_model())
    put_version(store, "bike", "v2", slowed(sum_model(1.0), REGRESSION, 0.6))
    put_state(store, "bike", "v2", previous="v1", stage="bake")
    ports = free_ports(["prometheus", "alertmanager"])
    with ExitStack() as stack:
        server = stack.enter_context(running_server(settings, tmp_path / "serving"))
        alerts = stack.enter_context(running_alerts(settings))
        serving = int(server.url.rsplit(":", 1)[-1])
        configure(tmp_path, serving, alerts.base_url.port, ports["alertmanager"])
        stack.enter_context(
            running(
                [
                    str(ALERTMANAGER), "--config.file=alertmanager.yml",
                    f"--storage.path={tmp_path / 'alertmanager'}", "--cluster.listen-address=",
                    f"--web.listen-address=127.0.0.1:{ports['alertmanager']}",
                ],
                tmp_path,
            )
        )  # fmt: skip
        stack.enter_context(
            running(
                [
                    str(PROMETHEUS), "--config.file=prometheus.yml",
                    f"--storage.tsdb.path={tmp_path / 'prometheus'}",
                    f"--web.listen-address=127.0.0.1:{ports['prometheus']}",
                ],
                tmp_path,
            )
        )  # fmt: skip
        server.wait_for_version("bike", "v2")
        statuses = stack.enter_context(load(server))
        wait_for(lambda: read_state(store, "bike").state.champion == "v1", patience=120)
        server.wait_for_version("bike", "v1")
    entry = list(read_history(store, "bike"))[-1]
    assert (entry.event, entry.version, entry.by) == ("rollout.rolled_back", "v2", "alerts")
    assert entry.reason.startswith("PerennialSlow: ")
    assert set(statuses) == {200}
