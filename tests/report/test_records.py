"""Records fit the terminal, and what is to be copied stays whole."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from perennial.cli.stack import status_text
from perennial.cli.versions import history_text
from perennial.local.stack import PartStatus, StackStatus
from perennial.registry.history import Standing, new_entry
from perennial.report.card import Card, Section, as_markdown
from perennial.report.records import cut_tables, records_text
from perennial.report.refused import entries_text
from perennial.validation.quarantine import Entry, Record

VERSION = "0001-e6e0d0a9c3f4"
REASON = (
    "newer small models and shares are worth 26% of the loss; shares by what each has answered "
    "live: recalibrated answers 42%, small model of the newest rows 23%, residual model 34%"
)
NARROW, WIDE = 80, 400


def rows_of(text: str) -> list[str]:
    return text.splitlines()


def test_what_fits_is_a_table() -> None:
    text = records_text(("name", "rows"), [("a", "1"), ("bcdef", "22")], width=NARROW)
    assert rows_of(text) == ["name   rows", "a      1", "bcdef  22"]


def test_prose_is_narrowed_as_long_as_it_can_be_read() -> None:
    text = records_text(("name", "why"), [(VERSION, REASON)], prose=(1,), width=NARROW)
    head, first, *_ = rows_of(text)
    assert head == f"{'name'.ljust(len(VERSION))}  why"
    assert first.startswith(f"{VERSION}  newer small models")
    assert max(map(len, rows_of(text))) <= NARROW


def test_what_does_not_fit_stands_one_below_the_other() -> None:
    header = ("when", "version", "answers", "why")
    record = ("2026-11-30 04:24:00", VERSION, f"{VERSION} 90%, {VERSION} 10%", REASON)
    lines = rows_of(records_text(header, [record, record], prose=(3,), width=NARROW))
    assert lines[:3] == [
        "2026-11-30 04:24:00",
        f"  version  {VERSION}",
        f"  answers  {VERSION} 90%, {VERSION} 10%",
    ]
    assert lines.count("") == 1
    assert max(map(len, lines)) <= NARROW


def test_a_column_with_nothing_in_it_is_no_hindrance() -> None:
    assert rows_of(records_text(("a", ""), [("b", "")], prose=(1,), width=NARROW)) == ["a", "b"]


def test_prose_is_not_narrowed_below_its_longest_word() -> None:
    word = "x" * 76
    text = records_text(("name", "why"), [("a" * 20, f"{word} and more")], prose=(1,), width=NARROW)
    assert rows_of(text)[0] == "a" * 20
    assert rows_of(text)[1:] == [f"  {word}", "  and more"]


def test_a_field_that_a_record_lacks_takes_no_line() -> None:
    text = records_text(("name", "of", "why"), [("x" * 40, "", "y" * 60)], width=NARROW)
    assert rows_of(text) == ["x" * 40, f"  why  {'y' * 60}"]


@pytest.mark.parametrize("width", [40, NARROW, 120, WIDE])
def test_an_id_is_whole_in_any_width(width: int) -> None:
    sha = "ab12" * 16
    header = ("name", "version", "why")
    text = records_text(header, [(sha, VERSION, REASON)], prose=(2,), width=width)
    assert sha in text
    assert VERSION in text
    assert " ".join(text.split()).endswith("residual model 34%") or width >= 120


@pytest.fixture
def eighty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


@pytest.mark.usefixtures("eighty")
def test_a_history_in_80_columns_has_every_id_whole() -> None:
    entry = new_entry("rollout.advanced", reason=REASON, by="retrain bike: drift", version=VERSION)
    after = Standing(champion="0000-000000000000", challenger=VERSION, stage="canary", weight=0.1)
    text = history_text([entry.model_copy(update={"after": after})] * 2)
    assert text.count("rollout.advanced") == 2
    assert text.count(f"version        {VERSION}") == 2
    assert text.count(f"0000-000000000000 90%, {VERSION} 10%") == 2
    assert max(map(len, rows_of(text))) <= NARROW


@pytest.mark.usefixtures("eighty")
def test_a_quarantine_in_80_columns_names_windows_whole_and_in_words() -> None:
    record = Record(
        pipeline="bike",
        name="w000031-held",
        kind="window",
        rows=278,
        reasons=("frozen column in temp, hum: one value in 278 rows in a row, 12 at most before",),
        dates={"first": "2026-03-03", "last": "2026-03-14"},
        at=datetime(2026, 4, 1, tzinfo=UTC),
    )
    text = entries_text([Entry(record=record)])
    assert rows_of(text)[0] == "w000031-held"
    assert "held window 31 (3 Mar - 14 Mar 2026)" in text
    assert max(map(len, rows_of(text))) <= NARROW


@pytest.mark.usefixtures("eighty")
def test_the_state_of_the_stack_in_80_columns_has_every_address_whole() -> None:
    address = "http://127.0.0.1:8080/a/long/address/of/a/part"
    part = PartStatus(
        name="serving",
        title="inference server",
        running=True,
        pid=4711,
        since=None,
        restarts=0,
        url=address,
        healthy=False,
        fault="it answers no request: see the log of the part in the directory of the stack",
    )
    text = status_text(StackStatus(up=True, directory="x", parts=[part])).plain
    assert address in text
    assert max(map(len, rows_of(text))) <= NARROW


def test_the_tables_of_a_page_never_break_a_word() -> None:
    header = ("check", "measured", "verdict", "in words")
    gates = Section("Gates", "", header, [("not_worse_than_champion", "a|b", "refused", REASON)])
    card = Card(title="bike", lead="A model.", sections=(gates,))
    pieces = cut_tables(as_markdown(card), width=NARROW)
    assert [piece for piece, is_table in pieces if not is_table] == [
        "# bike",
        "A model.",
        "## Gates",
    ]
    (table,) = [piece for piece, is_table in pieces if is_table]
    assert "a|b" in table
    assert {"not_worse_than_champion", "refused"} <= set(table.split())
    assert max(map(len, rows_of(table))) <= NARROW
