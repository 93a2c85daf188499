"""A CSV is read as it is written, and what is no table is refused in one line that says where."""

import gzip

import numpy as np
import pandas as pd
import pytest

from perennial.datasets.dialect import Dialect
from perennial.datasets.tables import read_table
from perennial.errors import SourceError, SpecError
from perennial.spec import Source, parse_spec


def read(text, encoding="utf-8", name="a.csv", as_text=(), **declared):
    data = text if isinstance(text, bytes) else text.encode(encoding)
    return read_table(data, name, Source(uri=name, **declared), as_text=as_text)


def refusal(text, **more):
    with pytest.raises(SourceError) as caught:
        read(text, **more)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "encoding", "found"),
    [
        ("a,b\n1.5,ü\n", "utf-8", Dialect("utf-8", ",", ".")),
        ("a;b\n1,5;ü\n", "cp1252", Dialect("cp1252", ";", ",")),
        ("a\tb\n1,5\tü\n", "utf-8-sig", Dialect("utf-8-sig", "\t", ",")),
        ("a|b\n1.5|ü\n", "utf-16", Dialect("utf-16", "|", ".")),
        ("a;b\n1.5;ü\n" * 9, "utf-16-le", Dialect("utf-16-le", ";", ".")),
        ('a,b\n"1,5","ü"\n', "utf-8", Dialect("utf-8", ",", ",")),
        ("sep=|\na|b\n1.5|ü\n", "utf-8", Dialect("utf-8", "|", ".")),
        ("a;b;c\n1,5;2,5;ü\n", "utf-8", Dialect("utf-8", ";", ",")),
    ],
)
def test_the_dialect_is_found(text, encoding, found):
    table = read(text, encoding)
    assert table.dialect == found
    assert str(table.frame["a"][0]) == "1.5"
    assert "ü" in table.frame.to_numpy()


def test_what_is_declared_goes_before_what_would_be_found():
    assert list(read("a,b;c\n1,2;3\n", separator=";").frame) == ["a,b", "c"]
    assert read("a;b\n1.234;x\n", decimal=",").frame["a"][0] == 1234
    assert read("a;b\n1.234;x\n").frame["a"][0] == 1.234
    mac = Source(uri="a.csv", encoding="mac-roman")
    assert read_table("a\nÄ\n".encode("mac-roman"), "a.csv", mac).frame["a"][0] == "Ä"


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["1", "2", ""], [1, 2, None]),
        (["1.5", "-", "n/a"], [1.5, None, None]),
        (['"1,234.5"', '"12,345,678.25"', "7"], [1234.5, 12345678.25, 7]),
        (["1e3", "-2.5E-1", "+3"], [1000, -0.25, 3]),
        ([*["22.1"] * 20, '"22,1"', "about 3"], [*[22.1] * 20, None, None]),
        ([*["1"] * 20, "inf", "1e300"], [*[1.0] * 20, None, None]),
    ],
)
def test_cells_are_numbers_where_almost_all_are(cells, values):
    table = read("\n".join(["a,b", *[f"{cell},x" for cell in cells]]))
    read_as = table.frame["a"].tolist()
    assert [None if value != value else value for value in read_as] == values
    missing = {"", "-", "n/a"}
    unreadable = [c not in missing and v is None for c, v in zip(cells, values, strict=True)]
    assert list(table.unreadable.get("a", [False] * len(cells))) == unreadable


def test_codes_of_letters_and_digits_stay_texts():
    assert list(read("a\nA1\n2\n3\n").frame["a"]) == ["A1", "2", "3"]


def test_truth_values_are_bools_and_with_holes_objects():
    frame = read("a,b\ntrue,TRUE\nfalse,\n").frame
    assert frame["a"].dtype == bool
    assert list(frame["b"]) == [True, None]


def test_a_column_can_be_kept_as_it_stands():
    assert list(read("t,x\n01.2024,1\n,2\n", as_text=["t"]).frame["t"]) == ["01.2024", None]


def test_a_column_without_a_name_is_left_out():
    assert list(read(",a,b,\n0,1,2,\n1,3,4,\n").frame) == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "a.csv is empty"),
        ("\n \n", "a.csv is empty"),
        ('a,b\n1,2\n"x\ny",3\n1,2,3\n1\n', "line 5: 3 fields where the header has 2; 2 lines"),
        ("a,b,a\n1,2,3\n", "2 columns named 'a'"),
        (",\n1,2\n", "names no column"),
        (b"PK\x03\x04....", "a zip or Excel file"),
        (b"a,b\n\x00\x01,\x00\n", "is no text"),
        (gzip.compress(b"a,b\n1,2\n", mtime=0)[:-9], "cannot be read"),
    ],
)
def test_what_is_no_table_is_refused_in_a_line(text, line):
    assert line in refusal(text)


def test_a_file_in_another_encoding_than_declared_is_refused():
    with pytest.raises(SourceError, match="not in utf-8: byte 2 is no character of it"):
        read_table("a\nü\n".encode("cp1252"), "a.csv", Source(uri="a.csv", encoding="utf-8"))


@pytest.mark.parametrize(
    "wrong", [{"separator": ";;"}, {"separator": "x"}, {"decimal": ";"}, {"encoding": "klingon"}]
)
def test_a_dialect_that_cannot_be_is_refused_with_the_declaration(wrong):
    least = {"name": "a", "task": "binary", "target": "y"}
    with pytest.raises(SpecError, match=f"source.{next(iter(wrong))}"):
        parse_spec({**least, "source": {"uri": "a.csv", **wrong}}, origin="here")


def test_types_that_only_pandas_has_become_plain_ones(tmp_path):
    frame = pd.DataFrame(
        {
            "whole": pd.array([1, 2], dtype="Int64"),
            "holes": pd.array([1, None], dtype="Int64"),
            "truth": pd.array([True, None], dtype="boolean"),
            "words": pd.array(["a", None], dtype="string"),
            "wild": [np.inf, 1.0],
        },
        index=pd.Index(pd.to_datetime(["2030-01-01", "2030-01-02"]), name="ts"),
    )
    frame.to_parquet(tmp_path / "a.parquet")
    table = read_table(tmp_path / "a.parquet", "a.parquet", Source(uri="a.parquet"))
    kinds = {name: dtype.kind for name, dtype in table.frame.dtypes.items()}
    assert kinds == {"ts": "M", "whole": "i", "holes": "f", "truth": "O", "words": "O", "wild": "f"}
    assert list(table.frame["truth"]) == [True, None]
    assert list(table.unreadable["wild"]) == [True, False]
