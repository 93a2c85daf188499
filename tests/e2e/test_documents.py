"""The documents, typed in: their commands, in their order, in an empty folder outside the clone."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from perennial.local import stop
from tests.documents import DOCUMENTS, Block, Shell, blocks
from tests.e2e.conftest import perennial

ELSEWHERE = {
    "make check": "the same of all tests",
    "make demo": "the two commands of the clone: the pipeline of the checks runs them",
    "useradd": "makes users and units of a machine",
    "docker compose": "needs a container engine",
    "export PERENNIAL_WORK_POOL": "runs beside a Prefect server and a store of one's own",
    "PERENNIAL_ALERTS_TOKEN_FILE": "a service in the foreground, until Ctrl-C",
}
"""First words of the blocks that are not typed in here, and why."""
OWN_DATA = "perennial example"
MOST_COMMANDS, MOST_SECONDS = 12, 600


def commands_to_type() -> list[Block]:
    """All blocks of commands but those of `ELSEWHERE`."""
    found = [block for document in DOCUMENTS for block in blocks(document) if block.info == "sh"]
    return [block for block in found if not block.text.lstrip().startswith(tuple(ELSEWHERE))]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("elsewhere")
    yield folder
    stop(folder / ".perennial")


def history(home: Path) -> list[dict[str, Any]]:
    told = perennial("history", "churn", "--json", cwd=home)
    entries: list[dict[str, Any]] = json.loads(told.stdout)
    return entries


def healed(home: Path) -> bool:
    """Whether a version that a check has asked for has taken over."""
    entries = history(home)
    asked = {e["version"] for e in entries if e["event"] == "version.registered" and e["cause"]}
    return any(e["event"] == "rollout.promoted" and e["version"] in asked for e in entries)


def test_every_block_that_is_left_out_is_still_there():
    texts = [block.text for document in DOCUMENTS for block in blocks(document)]
    for words in ELSEWHERE:
        assert any(text.lstrip().startswith(words) for text in texts), words


@pytest.mark.slow
def test_whoever_types_the_documents_in_has_a_pipeline_that_heals(home: Path):
    """From a table to the first heal by its own traffic, with what `init` declared, unedited."""
    typed, began = 0, time.monotonic()
    shell = Shell(
        home, {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    )
    try:
        for block in commands_to_type():
            started = time.monotonic()
            code, said = shell.run(block.text)
            print(f"{block}: {time.monotonic() - started:.0f} s\n{said}")
            assert code == 0, f"{block}\n{said}"
            if not typed:
                assert block.text.startswith(OWN_DATA)
                typed = len(block.commands)
                while not healed(home):
                    assert time.monotonic() - began < MOST_SECONDS, said
                    time.sleep(1)
                seconds = time.monotonic() - began
                print(f"{typed} commands and {seconds:.0f} s to the first heal")
                assert typed <= MOST_COMMANDS
    finally:
        shell.close()
    pipelines = json.loads(perennial("pipelines", "--json", cwd=home).stdout)
    assert [p["pipeline"] for p in pipelines if p["pipeline"] == "churn"] == ["churn"]
