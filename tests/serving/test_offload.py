"""Requests that take long: in order, in time, and never in the way of others."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from perennial.serving.http import Request, Response, Ticket
from perennial.serving.offload import MOST_LOST, PLACES, Offload, make_threads
from tests.serving.serving_models import REGRESSION, local_api, sum_model

PREDICT, FEEDBACK = "/v1/models/m:predict", "/v1/models/m:feedback"


class Stage:
    """An `Offload` whose requests wait for their gates, and what was answered.

    Args:
        in_model: whether they wait in the model, else while they are read.
    """

    def __init__(self, deadline: float, bound: int = 100, *, in_model: bool = True) -> None:
        self.in_model = in_model
        self.gates: dict[str, threading.Event] = {}
        self.answers: dict[str, int] = {}
        self.refusals = 0
        self.begun: list[str] = []
        self.threads = make_threads()
        self.offload = Offload(
            self._handle, self.threads, deadline=deadline, bound=bound, refused=self._refused
        )

    def _refused(self, _request: Request, _status: int) -> None:
        self.refusals += 1

    def _handle(self, request: Request) -> Response:
        self.begun.append(request.path)
        gate = self.gates[request.path]
        if self.in_model:
            request.ticket.away(lambda: gate.wait(10))
        else:
            gate.wait(10)
        return Response(200 if request.ticket.claim() else 500, b"")

    def submit(self, name: str, *, open_gate: bool = False, age: float = 0.0) -> None:
        self.gates[name] = threading.Event()
        if open_gate:
            self.gates[name].set()
        request = Request("POST", name, {}, b"", time.perf_counter() - age)
        self.offload.submit(request, self._note)

    def _note(self, request: Request, answer: Response) -> None:
        assert request.path not in self.answers
        self.answers[request.path] = answer.status
        if answer.status == 503:
            assert dict(answer.headers)["Retry-After"]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.005)


def play(scene: Callable[[Stage], Awaitable[None]], **options: float) -> Stage:
    async def run() -> Stage:
        stage = Stage(**options)
        try:
            await scene(stage)
        finally:
            for gate in stage.gates.values():
                gate.set()
            await asyncio.sleep(0.05)
            stage.threads.shutdown()
        return stage

    return asyncio.run(run())


def test_while_the_model_runs_for_one_another_is_read() -> None:
    async def scene(stage: Stage) -> None:
        for name in "abc":
            stage.submit(name)
        await until(lambda: len(stage.begun) == PLACES)
        await asyncio.sleep(0.05)
        assert stage.begun == ["a", "b"]
        stage.gates["b"].set()
        await until(lambda: "c" in stage.begun)
        assert stage.answers == {"b": 200}
        for name in "ac":
            stage.gates[name].set()
        await until(lambda: len(stage.answers) == 3)

    assert play(scene, deadline=10).answers == {"a": 200, "b": 200, "c": 200}


def test_one_at_a_time_is_read() -> None:
    async def scene(stage: Stage) -> None:
        for name in "abc":
            stage.submit(name)
        for count in (1, 2, 3):
            await until(lambda count=count: len(stage.begun) == count)
            await asyncio.sleep(0.05)
            assert len(stage.begun) == count
            stage.gates[stage.begun[-1]].set()
        await until(lambda: len(stage.answers) == 3)

    # Which of those that wait comes next is the threads' affair.
    assert sorted(play(scene, deadline=10, in_model=False).begun) == ["a", "b", "c"]


def test_one_that_hangs_is_given_up_and_those_behind_it_are_answered() -> None:
    async def scene(stage: Stage) -> None:
        stage.submit("hangs")
        await asyncio.sleep(0.2)
        stage.submit("next", open_gate=True)
        began = time.monotonic()
        await asyncio.sleep(0.2)
        assert stage.answers == {"hangs": 503, "next": 200}
        assert time.monotonic() - began < 1

    stage = play(scene, deadline=0.3)
    assert (stage.refusals, stage.offload.held) == (1, 0)
    assert stage.answers == {"hangs": 503, "next": 200}


def test_one_that_waits_too_long_is_never_begun() -> None:
    async def scene(stage: Stage) -> None:
        hanging = [f"hangs {number}" for number in range(PLACES)]
        for name in hanging:
            stage.submit(name)
        stage.submit("waits", age=0.1)
        await until(lambda: len(stage.answers) == PLACES + 1)
        assert stage.begun == hanging
        assert set(stage.answers.values()) == {503}

    assert "waits" in play(scene, deadline=0.2).answers


def test_threads_that_hang_are_bounded_and_come_back() -> None:
    async def scene(stage: Stage) -> None:
        for number in range(MOST_LOST):
            stage.submit(f"hangs {number}")
            await asyncio.sleep(0.08)
        stage.submit("held up", open_gate=True)
        await asyncio.sleep(0.08)
        assert stage.answers["held up"] == 503
        stage.gates["hangs 0"].set()
        await asyncio.sleep(0.03)
        stage.submit("after", open_gate=True)
        await asyncio.sleep(0.03)
        assert stage.answers["after"] == 200

    play(scene, deadline=0.05)


def test_more_than_the_bound_are_refused_at_once() -> None:
    async def scene(stage: Stage) -> None:
        for name in "abc":
            stage.submit(name)
        assert stage.answers == {"c": 503}

    stage = play(scene, deadline=10, bound=2)
    assert stage.answers == {"a": 200, "b": 200, "c": 503}


@pytest.mark.parametrize(
    ("path", "body"),
    [(PREDICT, b'{"rows": [{"x": 1}]}'), (FEEDBACK, b'{"id": "a", "label": 1}')],
)
def test_what_was_given_up_is_not_logged(tmp_path: Path, path: str, body: bytes) -> None:
    local = local_api(tmp_path, {})
    local.add_and_place(REGRESSION, {"1": sum_model()}, champion="1")
    request = Request("POST", path, {}, body, time.perf_counter(), ticket=Ticket())
    assert request.ticket.claim()
    assert request.ticket.at_desk(lambda: local.api.handle(request)).status == 503
    local.log.close()
    assert not list((tmp_path / "log").glob("*/*/*"))


def test_only_what_is_likely_to_take_long_leaves_the_event_loop(tmp_path: Path) -> None:
    local = local_api(tmp_path, {})
    local.add_and_place(REGRESSION, {"1": sum_model()}, champion="1")

    def may_take_long(rows: int) -> bool:
        body = b'{"rows": [' + b",".join([b'{"x": 1}'] * rows) + b"]}"
        return local.api.may_take_long(Request("POST", PREDICT, {}, body, 0.0, len(body)))

    champion = local.table.served["m"].champion
    champion.row_seconds = 1e-5
    assert [may_take_long(rows) for rows in (1, 50, 1000)] == [False, False, True]
    champion.row_seconds = 0.02
    assert may_take_long(1)
