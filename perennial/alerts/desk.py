"""Takes orders: stored first, then carried out; what cannot be carried out now is tried again."""

from __future__ import annotations

import itertools
import logging
import re
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from perennial.alerts.aim import Aim, look_back, take_aim
from perennial.alerts.prefect import Prefect, PrefectAway, PrefectSilent
from perennial.alerts.rules import Order, Rules
from perennial.alerts.spool import Outcome, Record, Result, Spool
from perennial.errors import PerennialError, StoreError
from perennial.registry import find_declaration, read_history, read_state
from perennial.spec import NAME_PATTERN
from perennial.store import Store
from perennial.store.lease import utc_now

logger = logging.getLogger(__name__)

PutBack = Callable[[Store, str, str, str, str], str]
"""Make a version champion: store, pipeline, version, why, by whom; returns who answers now."""

BY = "alerts"


@dataclass(frozen=True)
class Answer:
    """What became of an order."""

    name: str
    result: Result | Literal["waiting", "unknown"]
    """waiting: it is stored and tried again. unknown: there is no such pipeline."""
    detail: str
    repeated: bool = False
    """Whether an earlier alert asked for it: the result is that one's."""


class Desk:
    """Safe to share between threads.

    Args:
        put_back: carries out a rollback.
    """

    def __init__(
        self,
        store: Store,
        prefect: Prefect,
        put_back: PutBack,
        rules: Rules,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._store = store
        self._spool = Spool(store)
        self._prefect = prefect
        self._put_back = put_back
        self._rules = rules
        self._clock = clock
        self._lock = threading.Lock()
        self._waiting: dict[tuple[str, str], Record] = {}

    def waiting(self) -> tuple[int, float]:
        """Say how many orders wait, and the age of the oldest in seconds."""
        records = list(self._waiting.values())
        oldest = min((record.received_at for record in records), default=None)
        age = 0.0 if oldest is None else (self._clock() - oldest).total_seconds()
        return len(records), age

    def take(self, orders: Sequence[Order]) -> list[Answer]:
        """Store what is new, carry it out or let it wait, and say what became of each.

        Raises:
            StoreError: the store is away. What was stored before that is tried again.
        """
        with self._lock:
            answers = [self._accept(order) for order in orders]
            outcomes = self._carry_out()
        return [
            known or outcomes[order.pipeline, order.name]
            for order, known in zip(orders, answers, strict=True)
        ]

    def resume(self) -> None:
        """Take up what an earlier process stored and did not do.

        Raises:
            StoreError: the store is away.
        """
        found = list(self._spool.waiting())
        with self._lock:
            for record in found:
                self._waiting.setdefault((record.order.pipeline, record.order.name), record)

    def retry(self) -> None:
        """Try again what waits."""
        with self._lock:
            self._carry_out()

    def _accept(self, order: Order) -> Answer | None:
        """Store an order that is new; None: it waits from now on."""
        unknown = Answer(order.name, "unknown", f"there is no pipeline {order.pipeline!r}")
        if re.fullmatch(NAME_PATTERN, order.pipeline) is None:
            return unknown
        found = self._spool.find(order)
        if found is None:
            if find_declaration(self._store, order.pipeline) is None:
                return unknown
            aim = self._take_aim(order) if order.action == "rollback" else None
            record = Record(order=order, received_at=self._clock(), aim=aim)
            if self._spool.take(record):
                self._waiting[order.pipeline, order.name] = record
                return None
            found = self._spool.find(order)
            assert found is not None
        record, outcome = found
        if outcome is None:
            self._waiting.setdefault((order.pipeline, order.name), record)
            return None
        return Answer(order.name, outcome.result, outcome.detail, repeated=True)

    def _take_aim(self, order: Order) -> Aim:
        now, settle = self._clock(), self._rules.settle
        state = read_state(self._store, order.pipeline).state
        since = look_back(order, settle, now)
        changes = read_history(self._store, order.pipeline, since=since)
        return take_aim(order, state, changes, settle, now)

    def _carry_out(self) -> dict[tuple[str, str], Answer]:
        """Do what waits; orders for the same, together."""
        answers: dict[tuple[str, str], Answer] = {}
        silence: PrefectSilent | None = None
        for group in _alike(self._waiting.values()):
            try:
                if silence is not None and group[0].order.action != "rollback":
                    raise silence
                told = self._try(group)
            except (PrefectAway, StoreError) as error:
                silence = error if isinstance(error, PrefectSilent) else silence
                logger.warning("%d orders wait: %s", len(group), error)
                told = [Answer(record.order.name, "waiting", str(error)) for record in group]
            for record, answer in zip(group, told, strict=True):
                key = record.order.pipeline, record.order.name
                answers[key] = answer
                if answer.result != "waiting":
                    del self._waiting[key]
        return answers

    def _try(self, group: list[Record]) -> list[Answer]:
        """Do what a group asks for, once, and write down that it is done.

        Raises:
            PrefectAway, StoreError: it waits.
        """
        answers = []
        for record, outcome in zip(group, self._do(group), strict=True):
            order = record.order
            self._spool.close(record, outcome)
            words = (order.action, order.pipeline, outcome.result, outcome.detail)
            logger.info("%s of %s: %s: %s", *words)
            answers.append(Answer(order.name, outcome.result, outcome.detail))
        return answers

    def _do(self, group: list[Record]) -> list[Outcome]:
        first = group[0].order
        if first.action == "rollback":
            return [self._roll_back(record) for record in group]
        if first.action == "retrain":
            self._prefect.retrain(first.pipeline, _reasons(group), first.name)
            done = "a retrain is asked for"
        else:
            self._prefect.monitor(first.pipeline, first.name)
            done = "a run of the monitor is asked for"
        rest = [self._outcome("joined", f"asked for with {first.name}") for _ in group[1:]]
        return [self._outcome("asked", done), *rest]

    def _roll_back(self, record: Record) -> Outcome:
        order, aim = record.order, record.aim
        assert aim is not None
        if aim.to is None:
            return self._outcome("overtaken" if aim.overtaken else "refused", aim.fault)
        state = read_state(self._store, order.pipeline).state
        if not aim.holds(state):
            now = f"{state.champion} answers now"
            return self._outcome("overtaken", f"others have taken their places since: {now}")
        try:
            champion = self._put_back(self._store, order.pipeline, aim.to, order.reason, BY)
        except StoreError:
            raise
        except PerennialError as error:
            return self._outcome("refused", str(error))
        return self._outcome("rolled back", f"{champion} answers")

    def _outcome(self, result: Result, detail: str) -> Outcome:
        return Outcome(at=self._clock(), result=result, detail=detail)


def _alike(records: Iterable[Record]) -> list[list[Record]]:
    """Rollbacks first: they need no Prefect, and must not wait for it."""

    def kind(record: Record) -> tuple[bool, str, str]:
        order = record.order
        return order.action != "rollback", order.pipeline, order.action

    ordered = sorted(records, key=lambda record: (*kind(record), record.received_at))
    return [list(group) for _, group in itertools.groupby(ordered, kind)]


def _reasons(group: list[Record]) -> str:
    return "; ".join(dict.fromkeys(record.order.reason for record in group))
