from pathlib import Path

import pandas as pd
import pytest

from perennial.datasets.source import read_source
from perennial.errors import SourceError
from perennial.spec import parse_spec

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


def test_a_time_that_is_none_is_shown_with_its_row(folder):
    (folder / "a.csv").write_text("ts,x,y\n2030-01-01,1,0\nsoon,2,1\n")
    with pytest.raises(SourceError, match="time: ts: 'soon' in row 1 is no time"):
        read_source(spec_of(time="ts"), folder)


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
