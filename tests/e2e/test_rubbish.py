"""A client that sends rubbish in one row of a hundred while the loop runs in fast motion.

``MINUTES=60 pytest -m slow tests/e2e/test_rubbish.py`` plays it for an hour.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from perennial.datasets.log_reader import list_segments, read_predictions
from perennial.datasets.source import read_source
from perennial.declaring import init_pipeline
from perennial.demo.example import HISTORY, LATER, write_example
from perennial.demo.plan import json_value
from perennial.registry import declare, read_history
from perennial.spec import PipelineSpec
from perennial.store import layout
from tests.e2e.rollouts import ENDED_WELL, Stack, until

pytestmark = pytest.mark.slow

MINUTES = float(os.environ.get("MINUTES", "1.5"))
NAME = "calls"
LOOK_EVERY = 5.0
"""Seconds."""
BATCH = 25
ROWS: list[dict[str, Any]] = [
    {"called_at": "gestern"},
    {"called_at": "31.12.2026"},
    {"called_at": {"day": 1}},
    {"age": "three"},
    {"age": 1e400},
    {"age": [41]},
    {"plan": {"name": "basic"}},
    {"nobody_knows": 1},
    {"churned": 1},
]
"""What is changed in a row; each is refused."""
LABELS: list[Any] = ["n/a", "yes", 2, -1, None, [1], {"y": 1}, ""]
"""Truths that a binary target does not have; each is refused."""
BODIES = [
    b"",
    b"{",
    b"[]",
    b"null",
    b'{"rows": 3}',
    b'{"rows": [[1]]}',
    b'{"rows": [{"age": NaN}]}',
]


@dataclass
class Sent:
    """What the client has sent, and what became of it."""

    good: int = 0
    labels: int = 0
    refused: int = 0
    astray: int = 0
    """Rows dated far ahead, and labels whose id nobody asked: they are taken."""
    wrong: list[str] = field(default_factory=list)


class Client:
    """Sends good rows with their truths, and rubbish between them."""

    def __init__(self, url: str, rows: Iterator[tuple[dict[str, Any], Any]]) -> None:
        self._http = httpx.Client(timeout=30, trust_env=False)
        self._model = f"{url}/v1/models/{NAME}"
        self._rows = rows
        self._rubbish = itertools.cycle(range(len(ROWS) + len(LABELS) + len(BODIES) + 2))
        self.sent = Sent()

    def batch(self) -> None:
        """Some good rows and their truths; in one batch of four, something else."""
        rows, labels = zip(*itertools.islice(self._rows, BATCH), strict=True)
        ids = [f"good-{self.sent.good + n}" for n in range(BATCH)]
        self._expect(200, ":predict", {"rows": rows, "ids": ids})
        told = [{"id": name, "label": label} for name, label in zip(ids, labels, strict=True)]
        self._expect(200, ":feedback", {"labels": told})
        self.sent.good += BATCH
        self.sent.labels += BATCH
        if self.sent.good // BATCH % 4 == 0:
            self._send_rubbish(next(self._rubbish), dict(rows[0]), ids[0])

    def _send_rubbish(self, number: int, row: dict[str, Any], known: str) -> None:
        if number < len(ROWS):
            self._refuse(":predict", {"rows": [{**row, **ROWS[number]}]})
            return
        number -= len(ROWS)
        if number < len(LABELS):
            self._refuse(":feedback", {"labels": [{"id": known, "label": LABELS[number]}]})
            return
        number -= len(LABELS)
        if number < len(BODIES):
            self._refuse(":predict", BODIES[number])
            return
        self.sent.astray += 1
        if number == len(BODIES):
            self._expect(200, ":predict", {"rows": [{**row, "called_at": "2199-01-01 00:00:00"}]})
        else:
            name = f"nobody-{self.sent.astray}"
            self._expect(200, ":feedback", {"labels": [{"id": name, "label": 1}]})

    def _refuse(self, verb: str, body: Any) -> None:
        self.sent.refused += 1
        self._expect((400, 422), verb, body)

    def _expect(self, status: int | tuple[int, ...], verb: str, body: Any) -> None:
        content = body if isinstance(body, bytes) else _json(body)
        answer = self._http.post(f"{self._model}{verb}", content=content)
        if answer.status_code not in (status if isinstance(status, tuple) else (status,)):
            self.sent.wrong.append(
                f"{answer.status_code} {answer.text[:200]} for {content[:200]!r}"
            )


def _json(body: Any) -> bytes:
    import json

    return json.dumps(body).replace("Infinity", "1e400").encode()


def stream(spec: PipelineSpec, file: Path) -> Iterator[tuple[dict[str, Any], Any]]:
    """Rows and truths of a table, again and again."""
    source = spec.source.model_copy(update={"uri": str(file)})
    frame = read_source(spec.model_copy(update={"source": source}), file.parent)
    records = [
        {name: json_value(cell) for name, cell in row.items()}
        for row in frame.drop(columns=list(spec.ignore)).to_dict("records")
    ]
    for record in itertools.cycle(records):
        row = {n: v for n, v in record.items() if v is not None and n != spec.target}
        yield row, record[spec.target]


def test_rubbish_stops_nothing(stack: Stack):
    home = stack.directory.parent
    write_example(home)
    folder = home / "data" / NAME
    init_pipeline(NAME, home / HISTORY, target="churned", time="called_at", folder=folder)
    spec = declare(stack.store, folder).spec
    trained = stack.deployments.start("retrain/retrain", {"pipeline": NAME})
    assert (stack.deployments.wait(trained, timeout=120) or {})["name"] == "Registered"
    url = str(stack.settings.server_url)
    until(lambda: httpx.get(f"{url}/v2/models/{NAME}/ready").is_success)

    client, ends, looks = (
        Client(url, stream(spec, home / LATER)),
        time.monotonic() + 60 * MINUTES,
        0.0,
    )
    while time.monotonic() < ends:
        client.batch()
        if time.monotonic() - looks > LOOK_EVERY:
            looks = time.monotonic()
            stack.deployments.start("monitor/monitor", {"pipeline": NAME})
        time.sleep(0.5)
    sent = client.sent

    assert sent.wrong == []
    assert sent.refused >= 5
    rows = sent.good + (sent.astray + 1) // 2
    until(lambda: _answered(stack) == rows)
    runs = _ended(stack)
    assert len(runs) > 5
    assert {run["state_type"] for run in runs} <= ENDED_WELL, [
        (run["name"], run["state"]["message"]) for run in runs
    ]
    healed = [e for e in read_history(stack.store, NAME) if e.event == "rollout.promoted"]
    assert len(healed) > 1, "the world of the later rows is another one, and nothing was healed"


def _answered(stack: Stack) -> int:
    """Rows in the log that a client had an answer for; copies for a challenger are none."""
    segments = list_segments(stack.store, layout.prediction_log(NAME))
    return len(read_predictions(stack.store, segments, None))


def _ended(stack: Stack) -> list[dict[str, Any]]:
    """The runs that are over; one may watch a rollout for rows that come no more."""
    body = {"flow_runs": {"tags": {"all_": [f"pipeline:{NAME}"]}}}
    asked = httpx.post(f"{stack.settings.prefect_address}/flow_runs/filter", json=body)
    runs: list[dict[str, Any]] = asked.raise_for_status().json()
    return [run for run in runs if run["end_time"] is not None]
