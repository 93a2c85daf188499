"""Tables as people have them, each with what must come of it. Everything follows from the seed."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd

SEED = 20260131
ROWS = 300
DAY = pd.Timedelta(days=1)


@dataclass(frozen=True)
class Nasty:
    """A table: how it is written, and what must come of it."""

    name: str
    write: Callable[[Path], Path]
    """Writes the file into a folder and gives its path."""
    time: str | None = None
    target: str = "y"
    times: pd.Series | None = None
    """The true time of each row that has one, by its value of ``x``."""
    aside: int = 0
    """Rows that cannot be used."""
    refused: str | None = None
    """What the one line says, as a regular expression; None: it must work."""
    kinds: dict[str, str] = field(default_factory=dict)
    """Of some columns, what they must be read as: f (number) or O (text), a dtype's kind."""
    values: dict[str, list[object]] = field(default_factory=dict)
    """Of some columns, the first values."""


def rows(count: int = ROWS, step: pd.Timedelta = DAY, start: str = "2023-11-20") -> pd.DataFrame:
    """Sound rows: a time, a number that names the row, a number, a category, a target of 0 and
    1."""
    rng = np.random.default_rng(SEED)
    signal = rng.normal(size=count)
    return pd.DataFrame(
        {
            "day": pd.date_range(start, periods=count, freq=step),
            "x": rng.permutation(count) + 0.5,
            "amount": (1000 * signal).round(2),
            "shop": rng.choice(["nord", "süd"], count),
            "y": (signal + rng.normal(size=count) > 0).astype(int),
        }
    )


def csv(data: pd.DataFrame | str, encoding: str = "utf-8", name: str = "data.csv", **how: object):
    """A writer of a frame, or of a text, as CSV."""

    def write(folder: Path) -> Path:
        text = data if isinstance(data, str) else data.to_csv(**{"index": False, **how})
        (folder / name).write_bytes(text.encode(encoding))
        return folder / name

    return write


def raw(content: bytes, name: str = "data.csv"):
    """A writer of bytes."""

    def write(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return write


def parquet(data: pd.DataFrame):
    """A writer of a frame as Parquet."""

    def write(folder: Path) -> Path:
        data.to_parquet(folder / "data.parquet")
        return folder / "data.parquet"

    return write


def truth(data: pd.DataFrame, times: pd.Series | None = None) -> pd.Series:
    """The true times by ``x``."""
    found = data["day"] if times is None else times
    return pd.Series(list(found), index=list(data["x"]))


def dated(name: str, pattern: str, *, step: pd.Timedelta = DAY, count: int = ROWS) -> Nasty:
    """A table whose times are written by a pattern of strftime."""
    data = rows(count, step)
    written = data.assign(day=data["day"].dt.strftime(pattern))
    whole = pd.to_datetime(data["day"].dt.strftime("%Y-%m-%d %H:%M:%S"))
    return Nasty(name, csv(written), time="day", times=truth(data, whole))


def monthly(name: str, pattern: str) -> Nasty:
    """A table of months."""
    data = rows(120)
    data["day"] = pd.date_range("2014-01-01", periods=120, freq="MS")
    return Nasty(
        name,
        csv(data.assign(day=data["day"].dt.strftime(pattern))),
        time="day",
        times=truth(data),
    )


def plain(name: str, data: pd.DataFrame, **more) -> Nasty:
    """A table without a time."""
    return Nasty(name, csv(data.drop(columns="day")), **more)


def encodings() -> list[Nasty]:
    data = rows()
    german = data.assign(day=data["day"].dt.strftime("%d.%m.%Y"))
    first = {"shop": list(data["shop"][:3])}
    common = {"time": "day", "times": truth(data), "values": first}
    excel = "sep=;\n" + german.to_csv(index=False, sep=";", decimal=",")
    return [
        Nasty("utf-8 with a mark", csv(data, "utf-8-sig"), **common),
        Nasty("utf-16", csv(data, "utf-16", sep="\t"), **common),
        Nasty("utf-16 without a mark", csv(data, "utf-16-le"), **common),
        Nasty("cp1252", csv(data, "cp1252"), **common),
        Nasty("german excel", csv(german, "cp1252", sep=";", decimal=","), **common),
        Nasty("excel says its separator", csv(excel), **common),
        Nasty("tabs", csv(data, sep="\t", name="data.tsv"), **common),
        Nasty("bars", csv(data, sep="|"), **common),
        Nasty("carriage returns", csv(data, lineterminator="\r"), **common),
        Nasty("windows line ends", csv(data, lineterminator="\r\n"), **common),
        Nasty(
            "quoted decimal commas", csv(data, decimal=",", quoting=1), **common, kinds={"x": "f"}
        ),
    ]


def numbers() -> list[Nasty]:
    data = rows()
    amount = (data["amount"] * 12.34).round(2)
    english = [f"{value:,.2f}" for value in amount]
    german = [value.translate(str.maketrans(",.", ".,")) for value in english]
    swiss = [value.replace(",", "'") for value in english]
    exact = {"kinds": {"amount": "f"}, "values": {"amount": list(amount[:5])}}
    mixed = data["amount"].astype(str)
    mixed[[5, 50]], mixed[[9, 90, 91]], mixed[7] = "22,1", "n/a", "about 3"
    huge = data["amount"].astype(object)
    huge[3], huge[4], huge[5], huge[6] = 1e300, -1e300, "inf", "-Infinity"
    bad = data["y"].astype(object)
    bad[4], bad[10] = "n/a", "yes"
    missing = data["y"].astype(object)
    missing[::7] = None
    ids = 10**18 + np.arange(ROWS) * 7
    return [
        Nasty("thousands in english", csv(data.assign(amount=english)), **exact),
        Nasty(
            "thousands in german", csv(data.assign(amount=german), sep=";", decimal=","), **exact
        ),
        Nasty("thousands in swiss", csv(data.assign(amount=swiss), sep=";"), **exact),
        plain("a few texts among numbers", data.assign(amount=mixed), kinds={"amount": "f"}),
        plain("beyond any float32", data.assign(amount=huge), kinds={"amount": "f"}),
        plain("texts in a 0/1 target", data.assign(y=bad), aside=1),
        plain("target with holes", data.assign(y=missing)),
        plain("ids of eighteen digits", data.assign(code=ids)),
        plain("ids beyond int64", data.assign(code=[f"9{n:025d}" for n in range(ROWS)])),
        plain("truth values", data.assign(a=data["y"] == 1, b=["TRUE", "false", ""] * 100)),
        plain("infinite target", data.assign(y=[*data["amount"][:-1], np.inf]), aside=1),
        plain(
            "a few texts in a target of numbers",
            data.assign(y=[*data["amount"][:-5], *["low"] * 5]),
            aside=5,
        ),
        plain(
            "many texts in a target of numbers",
            data.assign(y=[*data["amount"][:-25], *["low"] * 25]),
            refused="y: .* no finite number",
        ),
    ]


def dates() -> list[Nasty]:
    minutes = pd.Timedelta(minutes=97)
    days = rows()
    short = days.assign(day=days["day"].dt.strftime("%d/%m/%Y"))
    turned = days["day"].dt.strftime("%m/%d/%Y")
    some = short.assign(day=[*short["day"][:150], *turned[150:]])
    two = days.assign(day=[*days["day"][:150].dt.strftime("%d.%m.%Y"), *days["day"][150:].dt.date])
    firsts = pd.date_range("2010-01-01", periods=120, freq="MS")
    ambiguous = rows(120).assign(day=firsts.strftime("%d/%m/%Y"))
    few = days.assign(day=days["day"].dt.strftime("%d.%m.%Y"))
    few.loc[[7, 9], "day"] = ["gestern", ""]
    many = few.assign(day=[*few["day"][:250], *["soon"] * 50])
    seconds = days["day"].astype("datetime64[s]").astype("int64")
    berlin = rows(step=pd.Timedelta(hours=1), start="2024-03-30")
    local = berlin["day"].dt.tz_localize("UTC").dt.tz_convert("Europe/Berlin")
    shuffled = days.sample(frac=1, random_state=SEED)
    future = rows(start="2090-01-01")
    known = {"time": "day", "times": truth(days)}
    return [
        dated("day.month.year", "%d.%m.%Y"),
        dated("month/day/year", "%m/%d/%Y"),
        dated("day/month/year with a clock", "%d/%m/%Y %H:%M:%S", step=minutes),
        dated("year/month/day", "%Y/%m/%d"),
        dated("years of two digits", "%d.%m.%y"),
        dated("names of months", "%d %B %Y"),
        dated("english mail", "%a, %d %b %Y %H:%M:%S +0000", step=minutes),
        dated("morning and afternoon", "%m/%d/%Y %I:%M:%S %p", step=minutes),
        dated("compact days", "%Y%m%d"),
        dated("days and months up to twelve, in order", "%d/%m/%Y", count=12),
        monthly("months", "%Y-%m"),
        monthly("months with a slash", "%m/%Y"),
        monthly("months with a dot", "%m.%Y"),
        Nasty("seconds since 1970", csv(days.assign(day=seconds)), **known),
        Nasty("milliseconds since 1970", csv(days.assign(day=seconds * 1000.0)), **known),
        Nasty(
            "offsets that change",
            csv(berlin.assign(day=[moment.isoformat() for moment in local])),
            time="day",
            times=truth(berlin),
        ),
        Nasty("not sorted", csv(shuffled), time="day", times=truth(shuffled)),
        Nasty("in the future", csv(future), time="day", times=truth(future)),
        Nasty("two that are no time", csv(few), **known, aside=2),
        Nasty("sixty that are none", csv(many), time="day", refused="'soon'"),
        Nasty("first days of months", csv(ambiguous), time="day", refused="two ways"),
        Nasty("two formats", csv(two), time="day", refused="two formats"),
        Nasty("two formats that look alike", csv(some), time="day", refused="two formats"),
        Nasty("years alone", csv(days.assign(day=2000 + days.index)), time="day", refused="time"),
        Nasty("no time at all", csv(days.assign(day="")), time="day", refused="day"),
        Nasty(
            "one time throughout",
            csv(days.assign(day="2024-02-01")),
            time="day",
            times=truth(days, pd.Series([pd.Timestamp("2024-02-01")] * ROWS)),
        ),
    ]


def columns() -> list[Nasty]:
    data = rows()
    odd = {"amount": 'größe "netto", in €', "shop": "laden.name", "x": "x"}
    wide = pd.DataFrame(
        np.random.default_rng(SEED).normal(size=(ROWS, 500)).round(3),
        columns=[f"sensor {n}" for n in range(500)],
    )
    text = [json.dumps({"a": n % 3, "b": ["x", None]}) for n in range(ROWS)]
    essays = ["lang, sehr\nlang " * 20_000 if n % 100 == 0 else "kurz" for n in range(ROWS)]
    names = ["id", "label", "time", "rows", "inputs", "outputs", "model"]
    log = ["_id", "_time", "_role", "_row", "_rule", "_fault", "_key"]
    empty_rows = pd.concat([data, pd.DataFrame([{}] * 10)], ignore_index=True)
    twice = pd.concat([data, data.iloc[:40]], ignore_index=True)
    rich = data.assign(
        amount=[Decimal(str(value)) for value in data["amount"]],
        whole=pd.array([1, None, 3] * 100, dtype="Int64"),
        truth=pd.array([True, None, False] * 100, dtype="boolean"),
        words=pd.array(["a", None, "b"] * 100, dtype="string"),
        kind=pd.Categorical(["s", "m", None] * 100),
        wild=[np.inf, -np.inf, 1.0] * 100,
    ).set_index("day")
    return [
        plain("an empty column", data.assign(nothing="")),
        plain("a constant column", data.assign(same=7, word="always")),
        plain("odd names", data.rename(columns=odd)),
        plain("names of the protocol", data.assign(**dict.fromkeys(names, data["amount"] * 2))),
        plain("names of the log", data.assign(**{n: range(ROWS) for n in log})),
        plain("blanks around names", data.rename(columns={"x": " x ", "amount": "amount "})),
        plain("five hundred columns", data.join(wide)),
        plain("thirty rows", data.iloc[:30]),
        plain("rows that stand twice", twice),
        plain("rows without any value", empty_rows),
        plain("one class", data.assign(y=1), refused="y"),
        plain("texts alone", data[["day", "shop", "y"]].assign(size=["s", "m", "l"] * 100)),
        plain("json in cells", data.assign(payload=text)),
        plain("very long texts with line ends", data.assign(note=essays)),
        Nasty("an index without a name", csv(data.drop(columns="day"), index_label="", index=True)),
        Nasty("parquet with all types", parquet(rich), time="day", times=truth(data)),
        plain("a target of three words", data.assign(y=["a", "b", "c"] * 100)),
    ]


def files() -> list[Nasty]:
    data = rows(40).drop(columns="day").to_csv(index=False)
    packed = gzip.compress(data.encode())
    return [
        Nasty("packed", raw(packed, "data.csv.gz")),
        Nasty("packed without saying so", raw(packed)),
        Nasty("packed and cut off", raw(packed[:-20], "data.csv.gz"), refused="cannot be read"),
        Nasty("an empty file", raw(b""), refused="is empty"),
        Nasty("a header alone", csv("x,y\n"), refused="no rows"),
        Nasty("a line too long", csv(data + "1,2,3,4,5,6,7\n"), refused="line 42"),
        Nasty("two columns of one name", csv("x,x,y\n1,2,0\n"), refused="named 'x'"),
        Nasty("a workbook", raw(b"PK\x03\x04\x14\x00\x06\x00"), refused="Excel"),
        Nasty("parquet that is none", raw(b"PAR1 no", "data.parquet"), refused="cannot be read"),
        Nasty("prose", csv("Dear all,\nplease find the data below.\n"), refused="line 2"),
        Nasty("no such file", lambda folder: folder / "gone.csv", refused="there is no file"),
        Nasty("no such target", csv(data), target="churned", refused="no column 'churned'"),
    ]


def all_tables() -> list[Nasty]:
    """Every table, the same at every call."""
    return [*encodings(), *numbers(), *dates(), *columns(), *files()]
