from __future__ import annotations

from pathlib import Path

import pytest

from perennial.alerts.alert import Alert
from perennial.alerts.rules import Ignored, Order, Rules, order_of, read_rules
from perennial.errors import AlertError
from tests.alerts.incidents import alert

EXAMPLE = Path(__file__).parents[2] / "infra" / "alertmanager" / "alerts.yaml"
DECLARED = Rules.model_validate(
    {
        "rules": [
            {"match": {"env": "staging"}, "action": "ignore"},
            {"match": {"alertname": ["Slow", "Slower"], "team": "shop"}, "action": "monitor"},
            {"match": {"alertname": "Slow"}, "action": "retrain", "pipeline": "bike"},
        ]
    }
)


def ordered(rules: Rules = DECLARED, **labels: str) -> Order | Ignored:
    return order_of(Alert.model_validate(alert(**labels)), rules)


def test_without_rules_the_labels_say():
    order = ordered(Rules(), model="bike", perennial_action="rollback", version="v2")
    assert isinstance(order, Order)
    assert (order.pipeline, order.action, order.version) == ("bike", "rollback", "v2")
    assert order.reason == "Slow: it is slow"


def test_an_annotation_may_name_the_action():
    given = alert(pipeline="bike")
    given["annotations"]["perennial_action"] = "monitor"
    order = order_of(Alert.model_validate(given), Rules())
    assert isinstance(order, Order)
    assert order.action == "monitor"


def test_the_first_rule_that_fits_counts_and_goes_before_the_label():
    assert ordered(env="staging", perennial_action="rollback", model="b") == ("the rules say so",)
    assert ordered(team="shop", model="b", perennial_action="rollback").action == "monitor"
    assert ordered(team="rides").pipeline == "bike"


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ({}, "no rule fits"),
        ({"perennial_action": "rollback"}, "names no pipeline"),
        ({"perennial_action": "rollback", "pipeline": ""}, "names no pipeline"),
        ({"perennial_action": "explode", "pipeline": "b"}, "it may be monitor, retrain, rollback"),
    ],
)
def test_what_asks_for_nothing_is_told_why(labels, words):
    found = ordered(Rules(), **labels)
    assert isinstance(found, Ignored)
    assert words in found.why


def test_the_example_can_be_read_and_holds_the_defaults():
    example = read_rules(EXAMPLE)
    assert example.model_copy(update={"rules": ()}) == Rules() == read_rules(None)
    assert len(example.rules) == 3


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("rules: [", "no YAML"),
        ("rules: [{match: {a: b}, action: explode}]", "rules.0.action"),
        ("rules: [{match: {a: []}, action: monitor}]", "rules.0.match.a"),
        ("ruls: []", "ruls: Extra inputs"),
        ("settle: soon", "settle"),
    ],
)
def test_impossible_rules_are_refused_with_the_place(tmp_path, text, words):
    file = tmp_path / "alerts.yaml"
    file.write_text(text)
    with pytest.raises(AlertError, match=r"alerts\.yaml") as caught:
        read_rules(file)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_rules_that_are_not_there_are_an_error(tmp_path):
    with pytest.raises(AlertError, match="cannot be read"):
        read_rules(tmp_path / "none.yaml")
