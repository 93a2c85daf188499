"""What a flow need not wait for, and whose file need not run again."""

import contextvars
import os
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

import worker
from worker.engine import beside, use_imported_flow

VARIABLE = contextvars.ContextVar("VARIABLE", default="not seen")


@pytest.fixture
def slow():
    """A context that is entered once it may be, and what became of it."""
    told, may = [], threading.Event()

    @contextmanager
    def enter(name):
        may.wait(10)
        told.append(f"{name} sees {VARIABLE.get()}")
        yield
        told.append("left")

    return enter, may, told


def test_what_stands_in_a_slow_context_begins_at_once_and_leaves_it_entered(slow):
    enter, may, told = slow
    VARIABLE.set("it")
    with beside(enter)("observer"):
        assert told == []
        may.set()
    assert told == ["observer sees it", "left"]


def test_an_error_in_it_is_the_one_that_is_raised(slow):
    enter, may, told = slow
    may.set()
    with pytest.raises(LookupError), beside(enter)("observer"):
        raise LookupError
    assert told[-1] == "left"


@pytest.mark.parametrize(
    ("entrypoint", "named"),
    [
        ("worker/engine.py:start_sooner", "worker.engine:start_sooner"),
        ("worker/never_imported.py:flow", "worker/never_imported.py:flow"),
        ("elsewhere/worker/engine.py:flow", "elsewhere/worker/engine.py:flow"),
        ("worker.engine:flow", "worker.engine:flow"),
    ],
)
def test_a_flow_is_named_by_its_module_where_that_is_imported(monkeypatch, entrypoint, named):
    monkeypatch.chdir(Path(worker.__file__).parents[1])
    monkeypatch.setenv("PREFECT__FLOW_ENTRYPOINT", entrypoint)
    use_imported_flow()
    assert os.environ["PREFECT__FLOW_ENTRYPOINT"] == named


def test_a_file_of_that_name_in_another_place_is_another_flow(monkeypatch, tmp_path):
    monkeypatch.setenv("PREFECT__FLOW_ENTRYPOINT", "worker/engine.py:flow")
    monkeypatch.chdir(tmp_path)
    use_imported_flow()
    assert os.environ["PREFECT__FLOW_ENTRYPOINT"] == "worker/engine.py:flow"


def test_without_an_entrypoint_nothing_is_named(monkeypatch):
    monkeypatch.delenv("PREFECT__FLOW_ENTRYPOINT", raising=False)
    use_imported_flow()
    assert "PREFECT__FLOW_ENTRYPOINT" not in os.environ


PROGRAM = """
import contextlib
import prefect.flow_engine, prefect.results
asked, entered = [], []
prefect.results._read_server_default_result_storage_block_id = lambda: asked.append(1)

@contextlib.contextmanager
def observe(run, request):
    entered.append((run, request))
    yield

prefect.flow_engine.observe_flow_run_suspension = observe
from worker.engine import start_sooner
start_sooner()
for _ in range(3):
    prefect.results._get_default_result_storage()
with prefect.flow_engine.observe_flow_run_suspension("run", "request"):
    pass
assert asked == [1], asked
assert entered == [("run", "request")], entered
"""


def test_the_engine_asks_once_and_observes_still():
    """In a process of its own: what is changed stays changed."""
    subprocess.run([sys.executable, "-c", PROGRAM], check=True)
