"""A table is sent as a client would: a request a row, its truth so many rows later."""

from typing import Any

import pandas as pd
import pytest

from perennial.demo.client import Tally
from perennial.demo.example import HISTORY_ROWS, LATER_ROWS, write_example
from perennial.demo.traffic import send_rows
from perennial.errors import StackError
from perennial.spec import parse_spec

SPEC = parse_spec(
    {"name": "a", "task": "binary", "source": {"uri": "a.csv"}, "target": "y", "ignore": ["key"]},
    origin="here",
)


class Recorder:
    """Stands in for the client: what would have been sent, in order."""

    def __init__(self, refuses: bool = False) -> None:
        self.tally = Tally()
        self.refusal = "422: no"
        self.sent: list[tuple[str, Any]] = []
        self._refuses = refuses

    def predict(self, identifier: str, row: dict[str, Any]) -> dict[str, Any] | None:
        self.tally.sent += 1
        self.sent.append(("row", (identifier, row)))
        if self._refuses:
            self.tally.failed += 1
            return None
        self.tally.answered += 1
        return {}

    def feedback(self, labels: list[tuple[str, Any]]) -> None:
        self.tally.labels += len(labels)
        self.sent += [("truth", label) for label in labels]


def table(rows: int) -> pd.DataFrame:
    return pd.DataFrame({"x": range(rows), "key": "k", "y": [n % 2 for n in range(rows)]})


def send(client: Recorder, frame: pd.DataFrame, **options: Any) -> Tally:
    return send_rows(client, SPEC, frame, **{"per_second": 0, "labels_after": 0, **options})


def test_each_row_goes_once_without_target_and_what_is_ignored():
    client = Recorder()
    tally = send(client, table(50))
    rows = [what for kind, what in client.sent if kind == "row"]
    assert [row for _, row in rows] == [{"x": n} for n in range(50)]
    assert len({identifier for identifier, _ in rows}) == 50
    assert (tally.answered, tally.labels) == (50, 50)


def test_the_truth_follows_at_least_so_many_rows_later_under_the_rows_id():
    client = Recorder()
    send(client, table(100), labels_after=30)
    places = {what[0]: at for at, (kind, what) in enumerate(client.sent) if kind == "row"}
    rows_before = 0
    for kind, what in client.sent:
        rows_before += kind == "row"
        if kind == "truth" and rows_before < 100:
            assert rows_before - 1 - list(places).index(what[0]) >= 30
    assert [what[1] for kind, what in client.sent if kind == "truth"] == [n % 2 for n in range(100)]


def test_a_missing_value_is_left_out_and_a_missing_truth_is_not_sent():
    client = Recorder()
    frame = pd.DataFrame({"x": [1.0, None], "key": "k", "y": [None, 1.0]})
    tally = send(client, frame)
    assert [what[1] for kind, what in client.sent if kind == "row"] == [{"x": 1.0}, {}]
    assert tally.labels == 1


def test_rows_are_sent_at_the_pace_that_is_asked_for():
    now = 0.0

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    send(Recorder(), table(101), per_second=20, clock=lambda: now, sleep=sleep)
    assert now == pytest.approx(5.0)


def test_a_server_that_refuses_the_first_row_ends_it_with_its_words():
    with pytest.raises(StackError, match="422: no"):
        send(Recorder(refuses=True), table(3))


def test_the_example_is_the_same_each_time_and_leads_into_a_new_world(tmp_path):
    (tmp_path / "again").mkdir()
    history, later = write_example(tmp_path)
    assert [p.read_bytes() for p in write_example(tmp_path / "again")] == [
        p.read_bytes() for p in (history, later)
    ]
    before, after = pd.read_csv(history), pd.read_csv(later)
    assert (len(before), len(after)) == (HISTORY_ROWS, LATER_ROWS)
    assert before["customer_id"].is_unique
    assert before["age"].corr(before["churned"]) > -0.1
    assert after["age"].corr(after["churned"]) < -0.4
