import json

import pandas as pd
import pytest

from perennial.demo.plan import make_plan
from perennial.errors import SourceError
from perennial.spec import load_spec


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "source"
    folder.mkdir()
    frame = pd.DataFrame(
        {
            "ts": pd.date_range("2030", periods=1000, freq="h"),
            "x": [None, *range(999)],
            "c": [None, *["a"] * 999],
            "y": range(1000),
        }
    )
    frame.to_csv(folder / "a.csv", index=False)
    (folder / "pipeline.yaml").write_text(
        "name: pp\ntask: regression\nsource: {uri: a.csv}\ntarget: y\ntime: ts\n"
        "model: {time_budget: 7s}\n"
    )
    return folder


def test_the_flows_see_the_first_fifth_alone(source, tmp_path):
    plan = make_plan(source, tmp_path / "demo", windows=8)
    assert len(pd.read_parquet(plan.folder / "history.parquet")) == 200
    declared = load_spec(plan.folder)
    assert declared.monitor.window.rows == 100
    assert declared.monitor.schedule is None
    assert (declared.rollout.shadow, declared.rollout.canary, declared.rollout.bake) == (None,) * 3
    assert declared.model.time_budget.total_seconds() == 7


def test_a_demo_is_declared_under_a_name_of_its_own(source, tmp_path):
    plan = make_plan(source, tmp_path / "demo", windows=8)
    assert (plan.spec.name, plan.title) == ("pp-demo", "pp")
    assert load_spec(plan.folder).name == "pp-demo"
    assert plan.folder == tmp_path / "demo" / "pp"


def test_the_longest_name_has_a_demo_too(source, tmp_path):
    file = source / "pipeline.yaml"
    file.write_text(file.read_text().replace("name: pp", f"name: {'p' * 63}"))
    plan = make_plan(source, tmp_path / "demo", windows=8)
    assert load_spec(plan.folder).name == "p" * 58 + "-demo"


def test_a_report_stays_until_the_next_demo_has_made_its_own(source, tmp_path):
    folder = make_plan(source, tmp_path / "demo", windows=8).folder
    for name in ("report.html", "expectations.json"):
        (folder / name).write_text("of the demo before")
    make_plan(source, tmp_path / "demo", windows=8)
    assert (folder / "report.html").exists()
    assert not (folder / "expectations.json").exists()


def test_every_row_behind_it_is_sent_once_and_in_order(source, tmp_path):
    plan = make_plan(source, tmp_path / "demo", windows=7)
    sent = [name for w in range(7) for name, _ in plan.requests(w)]
    assert plan.cut.first == 202, "two rows are left over by seven windows of 114"
    assert sent == [f"row-{row:07d}" for row in range(202, 1000)]


def test_requests_are_json_without_the_target_and_missing_values(source, tmp_path):
    plan = make_plan(source, tmp_path / "demo", windows=8)
    _, fields = next(plan.requests(0))
    assert json.loads(json.dumps(fields)) == {"ts": "2030-01-09 08:00:00", "x": 199.0, "c": "a"}


def test_truths_are_the_labels_of_a_window(source, tmp_path):
    plan = make_plan(source, tmp_path / "demo", windows=8)
    assert plan.truths(1)[0] == ("row-0000300", 300)


@pytest.mark.parametrize(("window", "windows"), [("100 rows", 8), ("20 rows", 40), ("1d", 40)])
def test_windows_are_of_the_declared_size(source, tmp_path, window, windows):
    file = source / "pipeline.yaml"
    file.write_text(file.read_text() + f"monitor: {{window: {window}}}\n")
    assert make_plan(source, tmp_path / "demo", windows=None).cut.windows == windows


def test_too_many_windows_are_refused_with_how_many_would_fit(source, tmp_path):
    with pytest.raises(SourceError, match="at most 40 would fit"):
        make_plan(source, tmp_path / "demo", windows=100)


def test_a_long_demo_breaks_the_pipe_once_and_the_truths_stay(source, tmp_path):
    plan = make_plan(source, tmp_path / "demo", windows=20)
    assert plan.broken is not None
    assert (plan.broken.window, plan.broken.column) == (10, "x")
    values = [{fields["x"] for _, fields in plan.requests(window)} for window in (9, 10, 11)]
    assert [len(found) for found in values] == [40, 1, 40]
    assert [truth for _, truth in plan.truths(10)] == list(range(600, 640))


def test_a_short_demo_breaks_nothing(source, tmp_path):
    assert make_plan(source, tmp_path / "demo", windows=8).broken is None
