from pathlib import Path

import pandas as pd
import pytest

from perennial.datasets.source import read_rows, read_source
from perennial.errors import SourceError
from perennial.spec import TimeFormat, parse_spec

FRAME = pd.DataFrame({"ts": ["2030-01-02", "2030-01-01"], "x": [1.0, 2.0], "y": [0, 1]})


def spec_of(uri="a.csv", **more):
    declared = {"name": "pp", "task": "binary", "source": {"uri": uri}, "target": "y", **more}
    return parse_spec(declared, origin="test")


@pytest.fixture
def folder(tmp_path):
    FRAME.to_csv(tmp_path / "a.csv", index=False)
    FRAME.to_csv(tmp_path / "a.csv.gz", index=False)
    FRAME.to_parquet(tmp_path / "a.parquet", index=False)
    (tmp_path / "parts").mkdir()
    FRAME.iloc[:1].to_parquet(tmp_path / "parts" / "0.parquet", index=False)
    FRAME.iloc[1:].to_parquet(tmp_path / "parts" / "1.parquet", index=False)
    return tmp_path


@pytest.mark.parametrize("uri", ["a.csv", "a.csv.gz", "a.parquet", "parts"])
def test_every_form_of_a_table_is_read(folder, uri):
    assert list(read_source(spec_of(uri), folder)["x"]) == [1.0, 2.0]


def test_rows_are_put_in_the_order_of_the_time_column(folder):
    assert list(read_source(spec_of(time="ts"), folder)["x"]) == [2.0, 1.0]


def test_a_source_in_the_store_is_fetched():
    spec = spec_of("s3://lake/day/a.csv")
    rows = read_source(spec, None, fetch=lambda bucket, key: f"x,y\n1,0\n2,{len(key)}\n".encode())
    assert list(rows["y"]) == [0, 9]


def test_a_missing_file_is_made_by_the_declared_script(folder):
    (folder / "make.py").write_text("open('b.csv', 'w').write('x,y\\n1,0\\n2,1\\n')")
    spec = spec_of().model_copy(
        update={
            "source": spec_of().source.model_copy(update={"uri": "b.csv", "made_by": "make.py"})
        }
    )
    assert len(read_source(spec, folder)) == 2


def test_it_is_made_also_where_the_folder_is_named_from_elsewhere(folder, monkeypatch):
    (folder / "make.py").write_text("open('b.csv', 'w').write('x,y\\n1,0\\n2,1\\n')")
    source = spec_of().source.model_copy(update={"uri": "b.csv", "made_by": "make.py"})
    monkeypatch.chdir(folder.parent)
    spec = spec_of().model_copy(update={"source": source})
    assert len(read_source(spec, Path(folder.name))) == 2


@pytest.mark.parametrize("script", ["../make.py", "{folder}/../make.py"])
def test_a_script_that_does_not_lie_beside_pipeline_yaml_is_refused(folder, script):
    home = folder / "home"
    home.mkdir()
    (folder / "make.py").write_text("open('b.csv', 'w').write('x,y\\n1,0\\n2,1\\n')")
    source = spec_of().source.model_copy(
        update={"uri": "b.csv", "made_by": script.format(folder=home)}
    )
    with pytest.raises(SourceError, match="does not lie beside"):
        read_source(spec_of().model_copy(update={"source": source}), home)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"uri": "none.csv"}, "there is no file"),
        ({"uri": "a.xlsx"}, "there is no file"),
        ({"target": "z"}, "target: there is no column 'z'; there are ts, x, y"),
        ({"time": "z"}, "time: there is no column 'z'"),
        ({"ignore": ["z"]}, "ignore: there is no column 'z'"),
        ({"ignore": ["x", "ts"]}, "no feature is left"),
    ],
)
def test_what_is_wrong_is_named_with_its_key(folder, changes, message):
    with pytest.raises(SourceError) as caught:
        read_source(spec_of(**changes), folder)
    assert message in str(caught.value)


def test_a_time_column_in_which_too_much_is_no_time_is_refused_with_a_row(folder):
    (folder / "a.csv").write_text("ts,x,y\n2030-01-01,1,0\nsoon,2,1\n")
    with pytest.raises(SourceError, match=r"time: ts: 1 of 2 values .* 'soon' in row 1"):
        read_source(spec_of(time="ts"), folder)


def write_days(folder, days, targets=None):
    targets = targets or [row % 2 for row in range(len(days))]
    rows = [f"{day};{row},5;{y}" for row, (day, y) in enumerate(zip(days, targets, strict=True))]
    (folder / "a.csv").write_text("\n".join(["ts;x;y", *rows]) + "\n")


def test_german_dates_are_read_as_what_they_are(folder):
    days = pd.date_range("2030-01-01", periods=60)
    write_days(folder, days.strftime("%d.%m.%Y"))
    rows = read_rows(spec_of(time="ts"), folder)
    assert list(rows.frame["ts"]) == list(days)
    assert list(rows.frame["x"][:2]) == [0.5, 1.5]
    assert rows.time == TimeFormat(format="%d.%m.%Y")
    assert (rows.dialect.separator, rows.dialect.decimal) == (";", ",")
    assert rows.aside.empty


def test_rows_that_cannot_be_used_are_set_aside_with_the_reason_and_the_rest_is_used(folder):
    days = list(pd.date_range("2030-01-01", periods=60).strftime("%d.%m.%Y"))
    days[3], days[5] = "gestern", ""
    write_days(folder, days, [*[0, 1] * 29, "0", "oops"])
    rows = read_rows(spec_of(time="ts"), folder)
    assert len(rows.frame) == 57
    assert list(rows.aside.index) == [3, 5, 59]
    assert list(rows.aside["_rule"]) == ["is_time(ts)", "is_time(ts)", "is_number(y)"]
    assert rows.aside["_fault"][3] == "ts: 'gestern' is none: write 31.01.2026"
    assert rows.unreadable == {"y": 1}


def test_too_many_of_them_are_an_error_that_shows_two(folder):
    days = [*pd.date_range("2030-01-01", periods=50).strftime("%Y-%m-%d"), *[""] * 10]
    write_days(folder, days)
    with pytest.raises(SourceError, match=r"10 of 60 rows cannot be used, row 50: .* and row 51: "):
        read_rows(spec_of(time="ts"), folder)


def test_a_regression_on_texts_is_refused(folder):
    write_days(folder, ["2030-01-01"] * 40, ["low", "high"] * 20)
    with pytest.raises(SourceError, match="row 0: y: 'low' is no finite number"):
        read_rows(spec_of(task="regression"), folder)


def test_a_declared_zone_and_format_hold(folder):
    write_days(folder, ["01/02/2030 12:00"] * 40)
    spec = spec_of(time="ts", time_format="%m/%d/%Y %H:%M", timezone="Europe/Berlin")
    assert read_source(spec, folder)["ts"][0] == pd.Timestamp("2030-01-02 11:00")


def test_columns_that_the_log_writes_itself_are_left_out(tmp_path):
    pd.DataFrame({"_id": [5, 6], "x": [1, 2], "y": [0, 1]}).to_parquet(tmp_path / "a.parquet")
    rows = read_rows(spec_of("a.parquet", ignore=["_id"]), tmp_path)
    assert list(rows.frame) == ["x", "y"]
    assert rows.left_out == ("_id",)
    with pytest.raises(SourceError, match="time: '_id' is a name of the log's own"):
        read_rows(spec_of("a.parquet", time="_id"), tmp_path)


def test_a_wide_table_is_not_listed_whole(tmp_path):
    pd.DataFrame({f"x{n}": [1] for n in range(500)}).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(SourceError, match=r"no column 'y'; there are x0, .* and 480 more"):
        read_rows(spec_of("a.parquet"), tmp_path)


def test_text_is_written_as_the_server_writes_it(tmp_path):
    frame = pd.DataFrame(
        {
            "member": [True, False, None],
            "size": pd.Categorical(["s", "m", None]),
            "y": [0, 1, 0],
        }
    )
    frame.to_parquet(tmp_path / "a.parquet")
    rows = read_source(spec_of("a.parquet"), tmp_path)
    assert list(rows["member"]) == ["true", "false", None]
    assert list(rows["size"]) == ["s", "m", None]


def test_a_column_of_lists_is_named(tmp_path):
    pd.DataFrame({"tags": [["a"], ["b"]], "x": [1, 2], "y": [0, 1]}).to_parquet(
        tmp_path / "a.parquet"
    )
    with pytest.raises(SourceError, match="column 'tags' holds"):
        read_source(spec_of("a.parquet"), tmp_path)
    kept = read_source(spec_of("a.parquet", ignore=["tags"]), tmp_path)
    assert list(kept["x"]) == [1, 2]
