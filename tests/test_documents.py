"""What the documents tell people to type exists: commands, options, targets, files, sections."""

from __future__ import annotations

import re
import shlex
import subprocess

import pytest
import typer
import yaml

from perennial.cli import app
from perennial.spec import parse_spec
from tests.documents import DOCUMENTS, PROJECT, Block, blocks

BLOCKS = [block for document in DOCUMENTS for block in blocks(document)]
COMMANDS = [block for block in BLOCKS if block.info == "sh"]
DECLARED = [block for block in BLOCKS if block.info == "yaml"]
LEAST = {"name": "a", "task": "regression", "source": {"uri": "a.csv"}, "target": "y"}
DEFAULTS = "These are the defaults"
NO_DEFAULTS = {"costs", "harm"}
"""Keys in such a block that show what may be declared."""
_LINK = re.compile(r"\]\((?!https?://)(?P<path>[^)#\s]*)(?:#(?P<section>[^)\s]+))?\)")


def text(document: str) -> str:
    return (PROJECT / document).read_text(encoding="utf-8")


def options_of(command: str) -> set[str]:
    """The options that a command of the command line knows."""
    group = typer.main.get_command(app)
    found = group.get_command(None, command)
    assert found is not None, f"perennial has no command {command!r}"
    return {
        name for parameter in found.params for name in (*parameter.opts, *parameter.secondary_opts)
    }


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_every_block_says_what_it_is(block: Block):
    assert block.info in ("sh", "yaml", "text"), "write sh, yaml or text behind the fence"


@pytest.mark.parametrize("block", COMMANDS, ids=str)
def test_a_block_of_commands_is_a_script_that_bash_can_read(block: Block):
    subprocess.run(["bash", "-n"], input=block.text, text=True, check=True)


@pytest.mark.parametrize("block", COMMANDS, ids=str)
def test_commands_and_options_exist(block: Block):
    for line in block.commands:
        for part in re.split(r"\s(?:&&|\|\||\||;)\s", line):
            words = shlex.split(part)
            if words[0] == "make":
                made = (PROJECT / "Makefile").read_text(encoding="utf-8")
                assert re.search(rf"^{re.escape(words[1])}:", made, re.MULTILINE)
            if words[0] == "perennial" and words[1:] and not words[1].startswith("-"):
                asked = {word.partition("=")[0] for word in words[2:] if word.startswith("--")}
                assert asked - {"--help"} <= options_of(words[1])


@pytest.mark.parametrize("document", DOCUMENTS)
def test_files_that_are_named_are_there(document: str):
    named = re.findall(
        r"`((?:perennial|tasks|flows|worker|infra|tests|benchmarks)/[\w./]*)`", text(document)
    )
    assert not [path for path in named if "NAME" not in path and not (PROJECT / path).exists()]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_within_the_project_lead_somewhere(document: str):
    here = PROJECT / document
    for found in _LINK.finditer(text(document)):
        target = here if not found["path"] else here.parent / found["path"]
        assert target.exists(), f"{document}: {found['path']}"
        if found["section"]:
            headings = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            anchors = {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}
            assert found["section"] in anchors, f"{document}: {found['section']}"


@pytest.mark.parametrize("block", DECLARED, ids=str)
def test_what_is_declared_may_be_declared(block: Block):
    parse_spec({**LEAST, **yaml.safe_load(block.text)}, origin=str(block))


@pytest.mark.parametrize("document", ["docs/healing.md", "docs/rollout.md"])
def test_what_is_said_to_be_a_default_is_one(document: str):
    (block,) = (b for b in DECLARED if b.document == document)
    assert text(document).split(block.text)[1].lstrip("`\n").startswith(DEFAULTS)
    ((section, declared),) = yaml.safe_load(block.text).items()
    kept = {key: value for key, value in declared.items() if key not in NO_DEFAULTS}
    said = parse_spec({**LEAST, section: kept}, origin=str(block))
    assert said == parse_spec(LEAST, origin="")
