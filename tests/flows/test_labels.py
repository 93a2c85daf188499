"""Labels that do not come: the loss is estimated, and a person is told once."""

from __future__ import annotations

import re

import numpy as np
import pytest

from flows.monitor import monitor
from tests.flows.conftest import frame
from tests.flows.live import Traffic
from tests.flows.test_flows import run, trained
from tests.flows.test_validation import checks, events

__all__ = ["events"]


@pytest.fixture
def traffic(connected, pipeline):
    data = frame(600)
    trained(pipeline, data.assign(y=data["y"] + np.random.default_rng(1).normal(size=600)))
    return Traffic(connected, slope=3.0)


def watch(traffic, windows, *, labelled):
    """Let windows come one by one, each with a look; give the checks of all windows."""
    for _ in range(windows):
        traffic.send(50, labelled=labelled)
        run(monitor, pipeline="line")
    return checks(traffic.store)


def test_the_loss_is_estimated_where_labels_have_not_come(traffic, events):
    labelled = watch(traffic, 1, labelled=True)
    assert labelled[0]["estimated"] is None
    *_, silent = watch(traffic, 1, labelled=False)
    assert silent["losses"] == []
    estimated = silent["estimated"]
    assert estimated["low"] < estimated["ratio"] < estimated["high"]
    assert estimated["ratio"] == pytest.approx(1, abs=0.5)
    assert estimated["promise"] == labelled[0]["losses"][0]["promise"]


def test_labels_that_stop_are_told_once_and_again_only_after_some_came(traffic, events):
    def told():
        return [payload for event, payload in events if event == "perennial.labels.missing"]

    watch(traffic, 2, labelled=True)
    found = watch(traffic, 4, labelled=False)
    missing = [check["labels_missing"] for check in found]
    assert missing[:4] == [None] * 4
    assert missing[4] is not None
    silent, _, patience = missing[4].partition(", ")
    assert re.fullmatch(r"no labels have come for window 3 \(\d+ \w+ \d{4} .* UTC\)", silent)
    assert patience == "2 windows ago; 0 at most before"
    assert missing[5] is not None
    assert [payload["window"] for payload in told()] == ["w000005"]
    *_, again = watch(traffic, 1, labelled=True)
    assert again["labels_missing"] is None
    watch(traffic, 3, labelled=False)
    assert [payload["window"] for payload in told()] == ["w000005", "w000010"]


def test_labels_that_never_came_are_asked_for(traffic, events):
    found = watch(traffic, 7, labelled=False)
    assert [check["labels_missing"] is None for check in found] == [True] * 6 + [False]
    assert "none have come yet" in found[-1]["labels_missing"]
