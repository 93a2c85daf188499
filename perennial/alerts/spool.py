"""``alerts/``: what was asked for, written first, and what was done about it, written last."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from perennial.alerts.aim import Aim
from perennial.alerts.rules import Order
from perennial.errors import Conflict
from perennial.registry import known_pipelines
from perennial.store import Store, layout

logger = logging.getLogger(__name__)

Result = Literal["asked", "joined", "rolled back", "overtaken", "refused"]
"""asked: Prefect has it. joined: another alert asked for the same just now. overtaken: what it
complains of answers no more. refused: it cannot be done."""


class Record(BaseModel):
    """An order that was taken."""

    model_config = ConfigDict(frozen=True)

    format: Literal[1] = 1
    order: Order
    received_at: AwareDatetime
    aim: Aim | None = None
    """Of a rollback: from whom to whom, as things stood when it came."""


class Outcome(BaseModel):
    """What was done about an order."""

    model_config = ConfigDict(frozen=True)

    format: Literal[1] = 1
    at: AwareDatetime
    result: Result
    detail: str


class Spool:
    """The records of all pipelines. Safe to share between threads."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def find(self, order: Order) -> tuple[Record, Outcome | None] | None:
        """Read what an earlier alert of this incident left."""
        key = layout.alert_record(order.pipeline, order.name)
        found = self._store.find(key)
        if found is None:
            return None
        record = Record.model_validate_json(found.data)
        done = self._store.find(layout.alert_outcome(order.pipeline, order.name))
        return record, None if done is None else Outcome.model_validate_json(done.data)

    def take(self, record: Record) -> bool:
        """Write a record; False where another one of this incident was faster."""
        order = record.order
        try:
            key = layout.alert_record(order.pipeline, order.name)
            self._store.put_json(key, record, if_absent=True)
        except Conflict:
            return False
        return True

    def close(self, record: Record, outcome: Outcome) -> None:
        """Write what was done; what stands already is left as it is."""
        order = record.order
        try:
            key = layout.alert_outcome(order.pipeline, order.name)
            self._store.put_json(key, outcome, if_absent=True)
        except Conflict:
            return

    def waiting(self) -> Iterator[Record]:
        """Yield the records about which nothing has been done yet."""
        for pipeline in known_pipelines(self._store, demos=True):
            keys = {info.key for info in self._store.scan(layout.alerts(pipeline))}
            names = sorted(key.split("/")[-2] for key in keys if key.endswith("/record.json"))
            for name in names:
                if layout.alert_outcome(pipeline, name) not in keys:
                    found = self._store.get(layout.alert_record(pipeline, name))
                    try:
                        yield Record.model_validate_json(found.data)
                    except ValidationError as error:
                        logger.error("%s cannot be read and is left: %s", found.key, error)
