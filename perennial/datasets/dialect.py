"""How a CSV file is written: encoding, separator and decimal, declared or found from its bytes."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from perennial.errors import SourceError
from perennial.spec.source import Source

_SEPARATORS = (",", ";", "\t", "|")
_SAMPLE = 200
"""Records that are looked at for the separator."""
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_FOREIGN = {b"PK\x03\x04": "a zip or Excel file", b"\xd0\xcf\x11\xe0": "an Excel file"}
_EXCEL_HINT = re.compile(r"sep=(.)\r?\n")
_POINT = re.compile(r"[+-]?\d*\.\d+(?:[eE][+-]?\d+)?|[+-]?\d{1,3}(?:,\d{3}){2,}|.+,\d{3}\.\d+")
_COMMA = re.compile(r"[+-]?\d*,\d+(?:[eE][+-]?\d+)?|[+-]?\d{1,3}(?:\.\d{3}){2,}|.+\.\d{3},\d+")
_GROUPED = re.compile(r"[+-]?[1-9]\d{0,2}[.,]\d{3}")
"""1.234 is either a thousand or a fraction: it says nothing of the decimal."""


@dataclass(frozen=True)
class Dialect:
    """How a CSV file is written."""

    encoding: str
    separator: str
    decimal: str


def decode(data: bytes, name: str, declared: Source) -> tuple[str, str]:
    """The text of a file and its encoding.

    What is neither UTF-8 nor UTF-16 is taken for cp1252, or latin-1 where it cannot be that.

    Raises:
        SourceError: it is empty, no text, or not in the declared encoding.
    """
    foreign = next((kind for mark, kind in _FOREIGN.items() if data.startswith(mark)), None)
    if foreign is not None:
        raise SourceError(f"source.uri: {name} is {foreign}: save it as CSV or Parquet")
    if not data.strip(b" \t\r\n\xef\xbb\xbf\xff\xfe\x00"):
        raise SourceError(f"source.uri: {name} is empty")
    encoding = declared.encoding or _find_encoding(data)
    try:
        text = data.decode(encoding)
    except UnicodeError as error:
        start = getattr(error, "start", 0)
        raise SourceError(
            f"source.encoding: {name} is not in {encoding}: byte {start:,} is no character of it; "
            "write source.encoding as the file stands, such as cp1252"
        ) from None
    if "\x00" in text[:1_000_000]:
        raise SourceError(f"source.uri: {name} is no text: save it as CSV or Parquet")
    return text.removeprefix("\ufeff"), encoding


def find_dialect(text: str, encoding: str, declared: Source) -> tuple[Dialect, str]:
    """How a decoded file is written, and the text without Excel's ``sep=`` line."""
    hint = _EXCEL_HINT.match(text)
    if hint is not None:
        text = text[hint.end() :]
    separator = declared.separator or (hint[1] if hint else _find_separator(text))
    decimal = declared.decimal or _find_decimal(text, separator)
    return Dialect(encoding=encoding, separator=separator, decimal=decimal), text


def _find_encoding(data: bytes) -> str:
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return encoding
    even, odd = data[:4096:2].count(0), data[1:4096:2].count(0)
    half = min(len(data), 4096) / 2
    if max(even, odd) > 0.3 * half and min(even, odd) < 0.05 * half:
        return "utf-16-be" if even > odd else "utf-16-le"
    for encoding in ("utf-8", "cp1252"):
        try:
            data.decode(encoding)
        except UnicodeDecodeError:
            continue
        return encoding
    return "latin-1"


def records(text: str, separator: str, *, most: int) -> Iterable[list[str]]:
    """The first records of a text, as far as they can be told apart."""
    lines = io.StringIO(text[:2_000_000], newline="")
    found = 0
    try:
        for record in csv.reader(lines, delimiter=separator):
            if record:
                yield record
                found += 1
            if found == most:
                return
    except csv.Error:
        return


def ragged_line(text: str, separator: str, width: int) -> int | str:
    """The line of the first record that has not so many fields."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    try:
        return next(reader.line_num for record in reader if record and len(record) != width)
    except (csv.Error, StopIteration):
        return "unknown"


def _find_separator(text: str) -> str:
    """The separator by which most rows have as many fields as the header, and more than one."""
    best, most = ",", (0.0, 0)
    for separator in _SEPARATORS:
        header, *rows = [len(r) for r in records(text, separator, most=_SAMPLE)] or [1]
        if header < 2:
            continue
        share = sum(count == header for count in rows) / len(rows) if rows else 1.0
        if (share, header) > most:
            best, most = separator, (share, header)
    return best


def _find_decimal(text: str, separator: str) -> str:
    """The decimal by which more cells are numbers; where none tells, what goes with the
    separator."""
    seen: Counter[str] = Counter()
    rows = iter(records(text, separator, most=20 * _SAMPLE))
    next(rows, None)
    for record in rows:
        for cell in map(str.strip, record):
            if _GROUPED.fullmatch(cell):
                seen["grouped " + ("," if "," in cell else ".")] += 1
            elif _POINT.fullmatch(cell):
                seen["."] += 1
            elif _COMMA.fullmatch(cell):
                seen[","] += 1
    if seen["."] or seen[","]:
        return "," if seen[","] > seen["."] else "."
    return "," if separator == ";" and seen["grouped ,"] else "."
