"""Rows and labels that cannot be used stop neither a look nor a retrain."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from flows.monitor import monitor
from flows.retrain import retrain
from perennial.validation.quarantine import Quarantine
from tests.flows.conftest import frame
from tests.flows.live import Traffic
from tests.flows.test_flows import run, trained
from tests.flows.test_validation import checks, newest_rows

BEGIN = datetime(2026, 3, 1)


class Rude(Traffic):
    """Every 25th request has a time that is none, every 25th label is no number, and some labels
    are of nobody's request."""

    def _log(self, version, role, names, data):
        times = [_spoil(n, ts) for n, ts in zip(names, data["ts"], strict=True)]
        spoiled = pd.Series(times, index=data.index, dtype=object)  # None stays None
        super()._log(version, role, names, data.assign(ts=spoiled))

    def _tell(self, labels):
        told = {n: "n/a" if _number(n) % 25 == 12 else y for n, y in labels.items()}
        super()._tell({**told, f"nobody-{self.sent}": 1.0})


def _number(name: str) -> int:
    return int(name.rpartition("-")[2])


def _spoil(name: str, ts: str) -> str | None:
    return {0: "gestern", 1: None}.get(_number(name) % 25, ts)


@pytest.fixture
def timed(immediate):
    def write(data: pd.DataFrame):
        hours = [BEGIN - (len(data) - n) * timedelta(hours=1) for n in range(len(data))]
        folder = immediate(data.assign(ts=[hour.isoformat() for hour in hours]))
        file = folder / "pipeline.yaml"
        file.write_text(file.read_text().replace("window: 50 rows", "window: 50h") + "time: ts\n")
        return folder

    return write


def test_hostile_traffic_is_judged_and_trained_on_without_what_cannot_be_used(connected, timed):
    data = frame(400)
    trained(timed, data.assign(y=data["y"] + np.random.default_rng(1).normal(size=400)))
    traffic = Rude(connected, slope=3.0, begins=BEGIN)
    for _ in range(5):
        traffic.send(50)
        assert run(monitor, pipeline="line").type.value in ("COMPLETED", "CANCELLED")
    found = checks(connected)
    assert len(found) >= 3
    assert all(check["losses"] for check in found[1:])
    assert all(check["refused"] >= 1 for check in found)
    assert run(retrain, pipeline="line").type.value in ("COMPLETED", "CANCELLED")
    rows = newest_rows(connected)
    assert len(rows) == 400 + 250 - 20
    arrived = rows["ts"] > pd.Timestamp(BEGIN + timedelta(days=60))
    assert arrived.sum() == 10  # those without a time happened when they came

    quarantine = Quarantine(connected, "line")
    aside = pd.concat([quarantine.rows(entry.record.name) for entry in quarantine.entries()])
    assert dict(aside["_rule"].value_counts()) == {
        "is_time(ts)": 10,
        "is_number(y)": 10,
        "is_near(ts)": 8,  # without a time: they came half a year after the rows beside them
    }
    told = " ".join(aside["_fault"])
    assert "ts: 'gestern'" in told
    assert "y: 'n/a' is no number" in told
    assert "is far from its window, between 2026-03-0" in told
    told = json.dumps([check["feedback"] for check in found])
    assert "unmatched" in told
