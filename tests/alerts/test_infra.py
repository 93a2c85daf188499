"""What lies in infra/ speaks of metrics that there are, and the real tools accept it."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import get_args

import httpx
import pytest
import yaml

from perennial.alerts.alert import Action
from perennial.alerts.rules import Rules
from perennial.alerts.service import Service
from perennial.report.loop import LoopMetrics
from perennial.serving.metrics import Metrics, agent_metrics, worker_metrics

INFRA = Path(__file__).parents[2] / "infra"
RULES = INFRA / "prometheus" / "rules.yml"
TOKEN = "a token of the tests"


class NobodyWaits:
    """A desk with nothing on it."""

    def waiting(self):
        return 0, 0.0


class EmptyStore:
    """A store without a pipeline."""

    def folders(self):
        return []


def exported() -> set[str]:
    """Names of all series that the servers and the alerts service export."""
    names = {name for made in (worker_metrics(), agent_metrics()) for name in families(made)}
    service = Service(NobodyWaits(), Rules(), TOKEN, LoopMetrics(EmptyStore()))
    text = asyncio.run(scrape(service))
    for name, kind in re.findall(r"^# TYPE (\S+) (\S+)", text, re.MULTILINE):
        names |= {f"{name}_sum", f"{name}_count"} if kind == "summary" else {name}
    return names


async def scrape(service: Service) -> str:
    door = httpx.ASGITransport(service.app())
    async with httpx.AsyncClient(transport=door, base_url="http://alerts") as client:
        answer = await client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    assert answer.status_code == 200
    return answer.text


def families(made: Metrics) -> list[str]:
    histogram = ("_bucket", "_sum", "_count")
    return [
        f"{family.name}{end}"
        for family in made._families.values()
        for end in (histogram if family.kind == "histogram" else ("",))
    ]


def expressions() -> list[str]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    board = json.loads((INFRA / "grafana" / "perennial.json").read_text())
    targets = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    return [rule["expr"] for group in groups for rule in group["rules"]] + targets


def test_rules_and_dashboard_speak_of_metrics_that_there_are():
    named = {name for text in expressions() for name in re.findall(r"perennial_\w+", text)}
    assert len(named) > 10
    assert named <= exported()


def test_every_alert_says_what_is_the_matter_and_what_to_do():
    groups = yaml.safe_load(RULES.read_text())["groups"]
    for rule in (rule for group in groups for rule in group["rules"]):
        assert {"summary", "runbook"} <= set(rule["annotations"])
        action = rule["labels"].get("perennial_action")
        assert action is None or action in get_args(Action)
        if action is not None:
            assert "by (model" in rule["expr"]


def accept(*command: str, cwd: Path) -> None:
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_accepts_the_rules(tmp_path):
    accept("promtool", "check", "rules", str(RULES), cwd=tmp_path)


def test_promtool_accepts_the_configuration(tmp_path):
    shutil.copytree(INFRA / "prometheus", tmp_path, dirs_exist_ok=True)
    (tmp_path / "alerts.token").write_text(TOKEN)
    accept("promtool", "check", "config", "prometheus.yml", cwd=tmp_path)


def test_amtool_accepts_the_configuration(tmp_path):
    accept("amtool", "check-config", "alertmanager.yml", cwd=INFRA / "alertmanager")


def test_what_a_client_sends_puts_no_version_back(tmp_path):
    """Errors that no model made, and few large requests among many, are no reason to step back."""
    shutil.copy(RULES, tmp_path)
    labels = 'model="m", version="v", role="champion"'
    series = {
        'perennial_requests_total{model="m", version="", role="", status="500"}': "0+60x60",
        f'perennial_requests_total{{{labels}, status="200"}}': "0+60x60",
        'perennial_model_failures_total{model="m"}': "0x60",
        'perennial_model_failures_total{model="bad"}': "0+6x60",
        'perennial_requests_total{model="bad", version="v", role="champion"}': "0+60x60",
        # One request in ten takes 2 s, for 100,000 rows.
        f'perennial_request_seconds_bucket{{{labels}, le="0.1"}}': "0+54x60",
        f'perennial_request_seconds_bucket{{{labels}, le="2.5"}}': "0+60x60",
        f'perennial_request_seconds_bucket{{{labels}, le="+Inf"}}': "0+60x60",
        f"perennial_request_seconds_sum{{{labels}}}": "0+12x60",
        f"perennial_rows_total{{{labels}}}": "0+600054x60",
    }
    none = [{"eval_time": "10m", "alertname": "PerennialSlow", "exp_alerts": []}]
    bad = {
        "exp_labels": {"model": "bad", "severity": "page", "perennial_action": "rollback"},
        "exp_annotations": {
            "summary": "10% of the requests to bad fail",
            "runbook": "The version before answers again by itself. The server's log names the "
            "error.",
        },
    }
    errors = {"eval_time": "10m", "alertname": "PerennialErrors", "exp_alerts": [bad]}
    tests = {
        "rule_files": ["rules.yml"],
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": s, "values": v} for s, v in series.items()],
                "alert_rule_test": [*none, errors],
            }
        ],
    }
    (tmp_path / "test.yml").write_text(yaml.safe_dump(tests))
    accept("promtool", "test", "rules", "test.yml", cwd=tmp_path)
