"""What an event's payload becomes in the parameters of the run that it starts."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from prefect.server.utilities.user_templates import render_user_template

from flows.retrain import retrain

PAYLOAD = {"pipeline": "line", "reason": "loss rose", "verdict": "line/checks/w000007.json"}


def parameters(payload):
    """Render the parameters that prefect.yaml's trigger gives to ``retrain``."""
    event = SimpleNamespace(payload=payload)
    return rendered("retrain", "perennial.drift.confirmed", {"event": event})


def rendered(deployment, event, context):
    text = Path(__file__).parents[2].joinpath("prefect.yaml").read_text()
    deployments = {found["name"]: found for found in yaml.safe_load(text)["deployments"]}
    (trigger,) = (t for t in deployments[deployment]["triggers"] if event in t["expect"])
    return {name: render(value, context) for name, value in trigger["parameters"].items()}


def render(value, context):
    if isinstance(value, str):
        return asyncio.run(render_user_template(value, context))
    assert value["__prefect_kind"] == "json"
    assert value["value"]["__prefect_kind"] == "jinja"
    return json.loads(render(value["value"]["template"], context))


@pytest.mark.parametrize(
    ("more", "depth"),
    [({}, "retrain"), ({"depth": None}, "retrain"), ({"depth": "correct"}, "correct")],
)
def test_an_event_may_name_a_depth(more, depth):
    given = parameters({**PAYLOAD, **more})
    assert given == {
        "pipeline": "line",
        "reason": "loss rose",
        "cause": "line/checks/w000007.json",
        "depth": depth,
    }
    assert retrain.validate_parameters(given) == {**given, "span": None, "attempt": 1}


@pytest.mark.parametrize("verdict", [{}, {"verdict": None}])
def test_an_alert_has_no_check_as_its_cause(verdict):
    given = parameters({"pipeline": "line", "reason": "Drift: prices", **verdict})
    assert given["cause"] is None
    assert retrain.validate_parameters(given) == {**given, "span": None, "attempt": 1}


@pytest.mark.parametrize(
    "given",
    [
        {"pipeline": "line", "reason": "loss rose", "cause": "line/checks/w000007.json"},
        {"pipeline": "line", "reason": "so", "depth": "correct", "span": 300, "cause": None},
    ],
)
def test_a_crashed_retrain_is_tried_again_as_it_was_and_is_counted(given):
    crashed = SimpleNamespace(parameters=given)
    again = rendered("retrain", "prefect.flow-run.Crashed", {"flow_run": crashed})
    defaults = {"depth": "retrain", "span": None, "cause": None}
    assert again == {**defaults, **given, "attempt": 2}
    assert retrain.validate_parameters(again) == again


def test_so_is_a_crashed_rollout():
    crashed = SimpleNamespace(parameters={"pipeline": "line", "attempt": 4})
    again = rendered("rollout", "prefect.flow-run.Crashed", {"flow_run": crashed})
    assert again == {"pipeline": "line", "attempt": 5}


def test_the_form_offers_every_depth():
    shown = retrain.parameters.properties["depth"]
    assert shown["enum"] == ["correct", "retrain"]
    assert shown["default"] == "retrain"
