"""Whole tables from the command line: score them, and put them into the store."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from perennial.cli.common import (
    Directory,
    Json,
    Pipeline,
    app,
    open_store,
    print_json,
    progress_bar,
)
from perennial.cli.places import is_stored, local_files, upload
from perennial.errors import SourceError, SpecError
from perennial.settings import DEFAULT_DIR

if TYPE_CHECKING:
    from perennial.scoring import Address
    from perennial.store import Store

_STDOUT = "-"


@app.command()
def score(
    pipeline: Pipeline,
    data: Annotated[
        str,
        typer.Argument(
            help="A csv, csv.gz or parquet file, or a folder of them; here, or at s3://bucket/key."
        ),
    ],
    output: Annotated[
        str | None,
        typer.Option(
            help="Where the scores go: csv, csv.gz or parquet by its name, here or at "
            "s3://bucket/key; - prints CSV. Left out: NAME-scores beside you, of the input's kind."
        ),
    ] = None,
    version: Annotated[
        str, typer.Option(help="A version, the start of its name, or an alias.")
    ] = "champion",
    keep: Annotated[
        list[str] | None,
        typer.Option(help="A column of the input that stands beside the scores; may be repeated."),
    ] = None,
    directory: Directory = DEFAULT_DIR,
    as_json: Json = False,
) -> None:
    """Predict over a whole table: one output row for each row, in its order.

    The model is read from the store and answers here, as the server would; nothing is logged.
    Columns: **row** (from 0), **prediction**, for classes **probability** of the second of two, or
    one for each. For what is larger than this machine the flow **score** does the same in the
    store.
    """
    from perennial.packaging.predictor import Predictor
    from perennial.registry import find_version, read_file, read_signature
    from perennial.registry.manifest import MODEL_FILE
    from perennial.scoring import score_files

    to = _output(data, output)
    store = open_store(directory)
    manifest = find_version(store, pipeline, version)
    predictor = Predictor(read_file(store, manifest, MODEL_FILE), read_signature(store, manifest))
    with tempfile.TemporaryDirectory(prefix="perennial-") as folder:
        scores = Path(folder) / Path(to).name
        with local_files(data, directory) as files, progress_bar("rows") as progress:
            sink = sys.stdout if to == _STDOUT else scores
            rows = score_files(predictor, files, sink, keep or (), progress)
        if to == _STDOUT:
            return
        _deliver(scores, to, directory)
    if as_json:
        told = {"pipeline": pipeline, "version": manifest.version, "rows": rows, "output": to}
        print_json(told)
    else:
        typer.echo(f"{to} is written: {rows:,} rows by version {manifest.version}.")


def _output(data: str, output: str | None) -> str:
    """Where scores go; checked before any work is done."""
    from perennial.datasets.files import SUFFIXES, is_table
    from perennial.scoring import parse_address
    from perennial.writable import check_file

    if output is None:
        name = Path(data).name
        suffix = next((s for s in reversed(SUFFIXES) if name.endswith(s)), "")
        beside = f"{name.removesuffix(suffix)}-scores{suffix or SUFFIXES[-1]}"
        check_file(Path(beside))
        return beside
    if output == _STDOUT:
        return output
    if not is_table(output):
        raise SpecError(f"--output: {output}: write a name that ends in {' or '.join(SUFFIXES)}")
    if is_stored(output):
        parse_address(output, "")
    if output == data or (not is_stored(output) and Path(output).resolve() == Path(data).resolve()):
        raise SpecError("--output: that is the input")
    if not is_stored(output):
        check_file(Path(output), "--output")
    return output


def _deliver(scores: Path, to: str, directory: Path) -> None:
    import shutil

    from perennial.scoring import parse_address

    if is_stored(to):
        upload(scores, parse_address(to, ""), directory)
    else:
        shutil.move(scores, to)


@app.command()
def put(
    file: Annotated[Path, typer.Argument(help="A csv, csv.gz or parquet file.")],
    to: Annotated[
        str,
        typer.Argument(
            help="s3://bucket/key, or a key in Perennial's bucket; a folder ends with a slash."
        ),
    ],
    directory: Directory = DEFAULT_DIR,
    as_json: Json = False,
) -> None:
    """Put a table into the store, where **source.uri**, **score** and **validate** find it.

    It replaces what lies there. A pipeline's own folder in Perennial's bucket is not for tables.
    """
    store = open_store(directory)
    address = _place_for(store, file, to)
    upload(file, address, directory)
    size = file.stat().st_size
    if as_json:
        print_json({"address": str(address), "bytes": size})
    else:
        typer.echo(f"{address} is written: {size:,} bytes.")


def _place_for(store: Store, file: Path, to: str) -> Address:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from perennial.datasets.files import is_csv, is_table, table_files
    from perennial.registry import find_declaration
    from perennial.scoring import parse_address

    if not file.is_file():
        raise SourceError(f"{file} is no file")
    table_files(file)
    try:
        if not is_csv(file.name):
            pq.ParquetFile(file)
    except (OSError, pa.ArrowInvalid) as error:
        raise SourceError(f"{file} is no Parquet file: {error}") from None
    address = parse_address(f"{to}{file.name}" if to.endswith("/") else to, store.bucket)
    if not is_table(address.key) or is_csv(address.key) != is_csv(file.name):
        raise SpecError(f"{to}: write a key that ends as {file.name} does, or in a slash")
    owner = address.key.split("/")[0]
    if address.bucket == store.bucket and find_declaration(store, owner) is not None:
        raise SpecError(f"{address} lies in the folder of the pipeline {owner}: choose another")
    return address
