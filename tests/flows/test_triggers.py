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
    text = Path(__file__).parents[2].joinpath("prefect.yaml").read_text()
    deployments = {found["name"]: found for found in yaml.safe_load(text)["deployments"]}
    (trigger,) = deployments["retrain"]["triggers"]
    return {name: render(value, payload) for name, value in trigger["parameters"].items()}


def render(value, payload):
    if isinstance(value, str):
        event = SimpleNamespace(payload=payload)
        return asyncio.run(render_user_template(value, {"event": event}))
    assert value["__prefect_kind"] == "json"
    assert value["value"]["__prefect_kind"] == "jinja"
    return json.loads(render(value["value"]["template"], payload))


@pytest.mark.parametrize(
    ("more", "depth", "span"),
    [
        ({}, "retrain", None),
        ({"depth": None, "span": None}, "retrain", None),
        ({"depth": "correct"}, "correct", None),
        ({"depth": "recalibrate", "span": 300}, "recalibrate", 300),
    ],
)
def test_an_event_may_name_a_depth_and_a_span(more, depth, span):
    given = parameters({**PAYLOAD, **more})
    assert given == {
        "pipeline": "line",
        "reason": "loss rose",
        "cause": "line/checks/w000007.json",
        "depth": depth,
        "span": span,
    }
    assert retrain.validate_parameters(given) == given


@pytest.mark.parametrize("verdict", [{}, {"verdict": None}])
def test_an_alert_has_no_check_as_its_cause(verdict):
    given = parameters({"pipeline": "line", "reason": "Drift: prices", **verdict})
    assert given["cause"] is None
    assert retrain.validate_parameters(given) == given


def test_the_form_offers_every_depth():
    shown = retrain.parameters.properties["depth"]
    assert shown["enum"] == ["recalibrate", "correct", "retrain", "unhead"]
    assert shown["default"] == "retrain"
