"""Names, values and advice may hold square brackets: a terminal shows them as they stand."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from rich.table import Table

import perennial
from perennial.cli.common import plain_console, progress_bar

TEXT = "plan [bold] in [1, 2], 'keep=[\"id\"]' :tada: [/x]"


def test_a_terminal_shows_them_as_they_stand(capsys):
    console = plain_console()
    table = Table.grid()
    table.add_row(TEXT)
    console.print(TEXT, soft_wrap=True)
    console.print(table)
    assert capsys.readouterr().out.count(TEXT) == 2


def test_a_bar_may_be_named_by_them():
    with progress_bar(TEXT) as progress:
        progress(1, 2)


@pytest.mark.parametrize("line", ["console = Console(stderr=True)", 'TextColumn("{x}")'])
def test_the_search_below_finds_a_console_of_its_own(line):
    assert _marked_up(line)


def test_no_command_makes_a_console_of_its_own():
    code = Path(perennial.__file__).parent
    found = [
        file.name for file in code.rglob("*.py") if _marked_up(file.read_text(encoding="utf-8"))
    ]
    assert found == []


def _marked_up(text: str) -> bool:
    """Whether a text makes a console, or a column of a bar, that reads markup."""
    made = re.findall(r"\b(?:Console|TextColumn)\([^)]*\)", text)
    return any("markup=False" not in call for call in made)
