"""Send a table to the inference server as a client would: a request a row, the truth later."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any

import pandas as pd
from ulid import ULID

from perennial.demo.client import Client, Tally
from perennial.demo.plan import json_value
from perennial.errors import StackError
from perennial.spec import PipelineSpec

_BATCH = 20
"""Truths that go in one request: fewer would be mostly requests, more would come late."""


def send_rows(
    client: Client,
    spec: PipelineSpec,
    frame: pd.DataFrame,
    *,
    per_second: float,
    labels_after: int,
    told: Callable[[Tally], None] = lambda _: None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Tally:
    """Send each row as a request of its own, in order, and its truth ``labels_after`` rows later.

    Args:
        frame: rows in time order, with the target where the truth is known.
        per_second: requests a second; 0: as fast as the server answers.
        labels_after: rows between a request and its truth.
        told: is given the tally after each row.

    Returns:
        What became of the requests; ``failed`` are those that the server refused.

    Raises:
        StackError: the server does not answer, or refuses a truth.
    """
    fields = [str(c) for c in frame.columns if c not in {spec.target, *spec.ignore}]
    run = str(ULID())
    waiting: deque[tuple[str, Any]] = deque()
    began = clock()
    columns = [frame[name].tolist() for name in (*fields, spec.target)]
    for number, cells in enumerate(zip(*columns, strict=True)):
        if per_second and (early := began + number / per_second - clock()) > 0:
            sleep(early)
        values = {n: json_value(c) for n, c in zip(fields, cells, strict=False)}
        identifier = f"{run}-{number:07d}"
        row = {name: value for name, value in values.items() if value is not None}
        if client.predict(identifier, row) is None and client.tally.answered == 0:
            raise StackError(f"the server refuses the first row: {client.refusal}")
        waiting.append((identifier, json_value(cells[-1])))
        if len(waiting) >= labels_after + _BATCH:
            _tell(client, [waiting.popleft() for _ in range(_BATCH)])
        told(client.tally)
    _tell(client, list(waiting))
    told(client.tally)
    return client.tally


def _tell(client: Client, truths: list[tuple[str, Any]]) -> None:
    client.feedback([(name, label) for name, label in truths if label is not None])
