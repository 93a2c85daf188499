from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.alerts.alert import Request, Webhook, parse
from perennial.errors import AlertError
from tests.alerts.incidents import alert, webhook


def one(**changes) -> str:
    return parse(webhook(alert(**changes))).alerts[0].name


def test_a_group_is_read_with_firing_and_resolved_alerts():
    group = parse(webhook(alert(model="bike"), alert(status="resolved"), truncatedAlerts=3))
    assert isinstance(group, Webhook)
    assert [(a.status, a.labels.get("model")) for a in group.alerts] == [
        ("firing", "bike"),
        ("resolved", None),
    ]
    assert group.truncated == 3


def test_repeats_of_an_incident_have_one_name_and_others_another():
    assert one() == one(summary="it still is") == one(status="resolved")
    assert len({one(), one(fingerprint="0"), one(starts="2030-01-01T10:00:01Z")}) == 3


def test_without_a_fingerprint_the_labels_tell_incidents_apart():
    assert one(fingerprint="", a="1", b="2") == one(fingerprint="", b="2", a="1")
    assert one(fingerprint="", a="1") != one(fingerprint="", a="2")


@pytest.mark.parametrize("fingerprint", ["../../state", "a/b", "", "ü" * 500, "\udcff"])
def test_a_name_is_always_fit_for_a_key(fingerprint):
    assert one(fingerprint=fingerprint).replace("-", "").isalnum()


def test_a_request_counts_each_time_unless_it_names_its_incident():
    body = {"pipeline": "bike", "action": "retrain", "reason": "new prices"}
    anonymous = parse(json.dumps(body).encode())
    named = parse(json.dumps({**body, "id": "prices/7"}).encode())
    assert isinstance(anonymous, Request)
    assert anonymous.name() != anonymous.name()
    assert named.name() == named.name()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "no JSON"),
        (b"\xff", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b"[]", "no JSON object"),
        (b"{}", "pipeline: Field required"),
        (b'{"pipeline": "b", "action": "explode", "reason": "x"}', "action: Input should be"),
        (b'{"pipeline": "b", "action": "retrain", "reason": ""}', "reason: String should have"),
        (b'{"pipeline": "b", "action": "retrain", "reason": "x", "to": 1}', "to: Extra inputs"),
        (webhook(version="3"), "version: Input should be '4'"),
        (b'{"version": "4", "alerts": {}}', "alerts: Input should be a valid tuple"),
        (webhook(alert(starts="soon")), "alerts.0.startsAt: "),
    ],
)
def test_what_cannot_be_understood_is_refused_with_the_place(body, words):
    with pytest.raises(AlertError, match=r"^.+$") as caught:
        parse(body)
    assert words in str(caught.value)


WORDS = st.text("a4/é\n\0", max_size=4)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["alerts", "version", "pipeline", "action"]), JSON))
def test_any_json_is_read_or_refused(value):
    with contextlib.suppress(AlertError):
        parse(json.dumps(value).encode())
