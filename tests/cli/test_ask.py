"""Requests to a running server from the command line."""

import json

import pytest

from perennial.cli.common import print_json
from perennial.errors import PerennialError, RequestError, StackError
from tests.serving.serving_models import put_state, put_version, sum_model
from tests.serving.serving_process import running_server


@pytest.fixture
def server(store, settings, here, monkeypatch):
    put_version(store, "p", "0001", sum_model())
    put_state(store, "p", "0001")
    with running_server(settings, here / "server") as started:
        started.wait_for_version("p", "0001")
        monkeypatch.setenv("PERENNIAL_SERVER_URL", started.url)
        yield started


def test_the_server_answers_rows_and_refuses_in_its_own_words(server, here, run):
    row = {"x": 1.0, "city": "a", "z": 2.0}
    answer = json.loads(run("predict", "p", "--json", json.dumps(row), "--id", "o-1").output)
    assert answer["predictions"][0]["id"] == "o-1"
    assert "4.0" in json.dumps(answer["predictions"][0])

    (here / "rows.json").write_text(json.dumps([row, row]))
    assert len(json.loads(run("predict", "p", "--json", "@rows.json").output)["predictions"]) == 2
    body = json.dumps({"rows": [row], "ids": ["o-2"]})
    answer = json.loads(run("predict", "p", "--json", "-", input=body).output)
    assert answer["predictions"][0]["id"] == "o-2"

    assert run("feedback", "p", "o-1", "3.5").output == "o-1: 3.5 is noted.\n"

    with pytest.raises(PerennialError, match=r"field 'x' must be a number.* \(422\)") as caught:
        run("predict", "p", "--json", '{"x": "three"}')
    assert "\n" not in str(caught.value)
    with pytest.raises(PerennialError, match=r"\(404\)"):
        run("predict", "nope", "--json", "{}")


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("{", "--json: that is no JSON: .* line 1 column 2"),
        ('{"x": NaN}', "--json: that is no JSON: NaN is no value; null stands for"),
        ("[" * 5000, "--json: that is"),
        ("3", "--json: write a row as an object, or a list of rows"),
        ("@nowhere.json", "--json: nowhere.json cannot be read"),
    ],
)
def test_what_is_no_row_is_said_before_anybody_is_asked(run, given, message):
    with pytest.raises(RequestError, match=message):
        run("predict", "p", "--json", given)


@pytest.mark.usefixtures("here")
def test_a_server_that_is_not_there_is_named(run, monkeypatch):
    with pytest.raises(StackError, match="no server is configured: run 'perennial up'"):
        run("predict", "p", "--json", "{}")
    monkeypatch.setenv("PERENNIAL_SERVER_URL", "http://127.0.0.1:9")
    with pytest.raises(StackError, match=r"the server at http://127.0.0.1:9 cannot be reached"):
        run("predict", "p", "--json", "{}")


def test_what_is_no_number_in_json_is_null_where_a_program_reads(capsys):
    print_json({"loss": float("nan"), "rows": [1.5, float("inf"), "ä"], "n": 3})
    assert json.loads(capsys.readouterr().out, parse_constant=pytest.fail) == {
        "loss": None,
        "rows": [1.5, None, "ä"],
        "n": 3,
    }
