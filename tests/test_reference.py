"""docs/reference.md says what the code says, of every key and of every variable."""

from __future__ import annotations

import re
import subprocess

from perennial.serving.options import PREFIX, ServingOptions
from perennial.spec.pipeline import PipelineSpec
from tests.documents import PROJECT
from tests.reference import OWN, PAGE, VARIABLES, keys_of, options_of, render

PLACES = ("perennial", "tasks", "flows", "worker", "infra", "prefect.yaml", "SECURITY.md")


def test_the_page_is_what_make_reference_writes():
    assert PAGE.read_text(encoding="utf-8") == render(), "run: make reference"


def test_every_key_says_what_it_is():
    assert not [path for path, *_, text in keys_of(PipelineSpec) if not text]


def test_every_option_of_the_server_is_there():
    found = {name for name, _, _ in options_of(ServingOptions)}
    assert found == {PREFIX + name.upper() for name in ServingOptions.__struct_fields__}


def test_every_variable_that_is_named_anywhere_is_there_and_no_other():
    said = subprocess.run(
        ["git", "grep", "-ohE", r"\bPERENNIAL_[A-Z0-9_]*[A-Z0-9]\b", "--", *PLACES],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    )
    named = {name for name in said.stdout.split() if not name.startswith(PREFIX)}
    listed = {name for name in (*VARIABLES, *OWN) if name.startswith("PERENNIAL_")}
    assert named == listed


def test_every_variable_has_a_line_of_its_own():
    lines = re.findall(r"^\| `(\w+)` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert {*VARIABLES} <= {*lines}
    assert len(lines) == len({*lines})
