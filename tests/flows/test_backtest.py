import json

import pytest
from prefect.client.orchestration import get_client
from prefect.exceptions import ParameterTypeError

from flows.backtest import backtest
from perennial.backtest.result import Backtest
from perennial.store import layout
from tests.flows.conftest import frame
from tests.flows.test_flows import run


def artifact(key):
    with get_client(sync_client=True) as client:
        (found,) = [a for a in client.read_latest_artifacts() if a.key == key]
        return found


@pytest.mark.usefixtures("one_process")
def test_figures_and_page_lie_in_the_store_and_an_artifact_links_to_them(connected, pipeline):
    pipeline(frame(400))
    state = run(backtest, pipeline="line", policies=["never", "every"], windows=4)
    assert state.name == "Replayed"
    assert state.message.startswith("rmse: never ")
    keys = [info.key for info in connected.scan("line/backtests/")]
    assert [key.rsplit(".", 1)[1] for key in keys] == ["html", "json"]
    found = Backtest.model_validate(json.loads(connected.get(keys[1]).data))
    assert (found.rows, found.windows, list(found.policies)) == (400, 4, ["never", "every"])
    assert b"<img" in connected.get(keys[0]).data
    shown = artifact("backtest-line")
    assert keys[0] in shown.data
    assert keys[1] == layout.backtest("line", keys[1].rsplit("/", 1)[1].removesuffix(".json"))
    assert artifact("backtest-progress-line").data == 100.0


@pytest.mark.usefixtures("one_process")
def test_where_retraining_gains_nothing_the_artifact_says_so(connected, pipeline):
    pipeline(frame(400))
    late = {"policies": ["never", "every"], "windows": 4, "label_delay_windows": 9}
    assert run(backtest, pipeline="line", **late).name == "Replayed"
    assert "Nothing to recover" in artifact("backtest-line").data


def test_more_windows_than_rows_is_said_in_a_line(connected, pipeline):
    pipeline(frame(40))
    state = run(backtest, pipeline="line", windows=4000)
    assert state.type.value == "FAILED"
    assert "\n" not in state.message


@pytest.mark.parametrize("wrong", [{"windows": 0}, {"train_fraction": 1.5}, {"policies": ["best"]}])
def test_numbers_and_policies_that_cannot_be_are_refused_before_anything_runs(wrong):
    with pytest.raises(ParameterTypeError):
        backtest.validate_parameters({"pipeline": "line", **wrong})
