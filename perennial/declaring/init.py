"""Read a table and write the pipeline.yaml that declares it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import yaml

from perennial.declaring.look import look_at
from perennial.declaring.table import read_table
from perennial.declaring.verdict import Look
from perennial.declaring.write import write_declaration
from perennial.errors import SpecError
from perennial.spec import parse_spec
from perennial.writable import check_folder


class Declared(NamedTuple):
    """A declaration that was written."""

    file: Path
    look: Look
    how: str
    """How the data were read, in words, where that is not usual."""


def declare(
    name: str,
    data: Path,
    *,
    target: str,
    time: str | None = None,
    time_format: str | None = None,
    folder: Path,
    force: bool = False,
) -> Declared:
    """Look at a table and write ``folder``/pipeline.yaml.

    The address of the data is written as seen from the folder, so that both may move together.

    Raises:
        SpecError: the name may not be one, a pipeline.yaml is there and ``force`` is not set, or
            the folder cannot be written.
        SourceError: the data cannot be read or learned from, or lack the columns named.
    """
    file = folder / "pipeline.yaml"
    if file.exists() and not force:
        raise SpecError(f"{file} is there already; --force replaces it")
    least = {"name": name, "task": "multiclass", "source": {"uri": str(data)}, "target": target}
    parse_spec({**least, "time": time, "time_format": time_format}, origin="perennial init")
    check_folder(folder)
    frame, how, unreadable = read_table(data, time)
    look = look_at(frame, target=target, time=time, time_format=time_format, unreadable=unreadable)
    uri = os.path.relpath(data.resolve(), folder.resolve())
    text = write_declaration(name, look, uri=uri, how=how)
    parse_spec(yaml.safe_load(text), origin=str(file))
    folder.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return Declared(file, look, how)


def init_pipeline(
    name: str, data: Path, *, target: str, time: str | None, folder: Path, force: bool = False
) -> Path:
    """As `declare`; gives the file's path alone."""
    return declare(name, data, target=target, time=time, folder=folder, force=force).file
