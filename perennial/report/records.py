"""Records as text for a terminal of any width: a table where it fits, else each one by itself.

What is to be copied, such as an id, is never broken or shortened.
"""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Sequence

_GAP = "  "
_LEAST_PROSE = 36
"""Columns below which a sentence in a table is a tower of words."""


def records_text(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    prose: Sequence[int] = (),
    width: int | None = None,
) -> str:
    """Write records one below the other.

    Args:
        header: what each field is.
        rows: of each record the fields, the first names it.
        prose: fields, by their place, that may go over several lines.
        width: columns of the terminal; None: of this one.
    """
    width = shutil.get_terminal_size().columns if width is None else width
    columns = list(zip(header, *rows, strict=True))
    natural = [max(1, *map(len, column)) for column in columns]
    least = [
        max([_LEAST_PROSE, *(len(word) for cell in column for word in cell.split())])
        if number in prose
        else natural[number]
        for number, column in enumerate(columns)
    ]
    widths = _fit(natural, least, width)
    if widths is not None:
        return "\n".join(line for row in (header, *rows) for line in _lines(row, widths))
    return "\n\n".join(_stacked(header, row, width) for row in rows)


def cut_tables(markdown: str, *, width: int | None = None) -> list[tuple[str, bool]]:
    """Cut a page of markdown into its blocks, in order.

    Returns:
        Of each its text, and whether it is a table: that is text for a terminal already, while the
        others are markdown still.
    """
    return [
        (_table_text(block, width), True) if block.startswith("|") else (block, False)
        for block in markdown.strip().split("\n\n")
    ]


def _table_text(block: str, width: int | None) -> str:
    header, _, *rows = [_cells(line) for line in block.splitlines()]
    return records_text(header, rows, prose=range(1, len(header)), width=width)


def _cells(line: str) -> list[str]:
    kept = line.strip().removeprefix("|").removesuffix("|").replace("\\|", "\0")
    return [cell.strip().replace("\0", "|") for cell in kept.split("|")]


def _fit(natural: Sequence[int], least: Sequence[int], width: int) -> list[int] | None:
    """Widths of the columns, or None where the records do not fit side by side.

    The widest of those that may be narrower than what stands in them is narrowed first.
    """
    widths = list(natural)
    while sum(widths) + len(_GAP) * (len(widths) - 1) > width:
        wide = [i for i in range(len(widths)) if widths[i] > least[i]]
        if not wide:
            return None
        widths[max(wide, key=lambda i: widths[i])] -= 1
    return widths


def _lines(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    cells = [_wrap(cell, width) for cell, width in zip(row, widths, strict=True)]
    height = max(map(len, cells))
    padded = [[*cell, *[""] * (height - len(cell))] for cell in cells]
    return [
        _GAP.join(part.ljust(width) for part, width in zip(parts, widths, strict=True)).rstrip()
        for parts in zip(*padded, strict=True)
    ]


def _stacked(header: Sequence[str], row: Sequence[str], width: int) -> str:
    """One record: the field that names it, below it the others that it has."""
    names = header[1:] if len(header) > 2 else [""]  # a single field needs no name
    label = max(map(len, names))
    indent = _GAP + " " * label + (_GAP if label else "")
    lines = [row[0]] if row[0] else []
    for name, cell in zip(names, row[1:], strict=True):
        if cell:
            first, *rest = _wrap(cell, max(width - len(indent), _LEAST_PROSE))
            lines.append(f"{_GAP}{name}".ljust(len(indent)) + first)
            lines += [indent + part for part in rest]
    return "\n".join(lines)


def _wrap(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False) or [""]
