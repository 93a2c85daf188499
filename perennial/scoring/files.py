"""Score files of this machine into one file, a batch of rows at a time."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from perennial.datasets.files import csv_as_parquet, is_csv
from perennial.errors import SourceError
from perennial.packaging.predictor import Predictor
from perennial.packaging.signature import Signature
from perennial.scoring.inputs import check_columns
from perennial.scoring.parts import (
    BATCH_ROWS,
    PROBABILITIES,
    PROBABILITY,
    answers,
    check_kept,
    needed_columns,
    score_columns,
)


class Writer(Protocol):
    """Takes batches of scores."""

    def write(self, columns: dict[str, pa.Array]) -> None:
        """Write the next rows."""
        ...


def score_files(
    predictor: Predictor,
    files: Sequence[Path],
    output: Path | IO[str],
    keep: Sequence[str] = (),
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Score the rows of files, one output row for each, in their order.

    Args:
        files: csv, csv.gz or parquet; a CSV is read whole, Parquet in batches.
        output: csv, csv.gz or parquet by its name, or a stream that takes CSV.
        keep: columns of the input that stand beside the scores.
        progress: is told after each batch how many rows of how many of a file are done.

    Returns:
        How many rows there were.

    Raises:
        SpecError: a column cannot be kept.
        SourceError: a file cannot be read, or the model does not take it.
        RequestError: a number is beyond a float32.
    """
    check_kept(keep)
    row, first = 0, _open(files[0], predictor.signature, keep)
    kept = _kept(first, keep)
    schema = pa.schema([*score_columns(predictor.signature), *kept])
    with _writer(output, schema, predictor.signature.classes) as out:
        for number, file in enumerate(files):
            source = first if number == 0 else _open(file, predictor.signature, keep)
            if _kept(source, keep) != kept:
                raise SourceError(f"{file} has other types in the columns to keep")
            before, total = row, source.metadata.num_rows
            columns = needed_columns(predictor.signature, keep)
            for batch in source.iter_batches(BATCH_ROWS, columns=columns):
                scored = answers(predictor, batch, row, str(file), row - before)
                scored |= {name: batch.column(name) for name in keep}
                out.write(scored)
                row += batch.num_rows
                if progress is not None:
                    progress(row - before, total)
    return row


def _open(file: Path, signature: Signature, keep: Sequence[str]) -> pq.ParquetFile:
    try:
        opened = csv_as_parquet(file, str(file)) if is_csv(file.name) else pq.ParquetFile(file)
    except (OSError, pa.ArrowInvalid) as error:
        raise SourceError(f"{file} is no Parquet file: {error}") from None
    check_columns(opened.schema_arrow, signature, keep, str(file))
    return opened


def _kept(source: pq.ParquetFile, keep: Sequence[str]) -> list[pa.Field]:
    return [source.schema_arrow.field(name).with_metadata(None) for name in keep]


@contextmanager
def _writer(output: Path | IO[str], schema: pa.Schema, classes: Sequence[str]) -> Iterator[Writer]:
    if not isinstance(output, Path):
        yield _Csv(output, schema, classes)
    elif not is_csv(output.name):
        with pq.ParquetWriter(output, schema, compression="zstd") as writer:
            yield _Parquet(writer)
    else:
        opened = gzip.open if output.name.endswith(".gz") else open
        with opened(output, "wt", encoding="utf-8", newline="") as stream:
            yield _Csv(stream, schema, classes)


class _Parquet:
    def __init__(self, writer: pq.ParquetWriter) -> None:
        self._writer = writer

    def write(self, columns: dict[str, pa.Array]) -> None:
        schema = self._writer.schema
        arrays = [columns[name] for name in schema.names]
        self._writer.write_batch(pa.record_batch(arrays, schema=schema))


class _Csv:
    """A line a row; of many classes a column for the probability of each."""

    def __init__(self, stream: IO[str], schema: pa.Schema, classes: Sequence[str]) -> None:
        self._stream, self._names, self._classes = stream, schema.names, classes
        self._begun = False

    def write(self, columns: dict[str, pa.Array]) -> None:
        ordered: dict[str, pa.Array] = {}
        for name in self._names:
            if name == PROBABILITIES:
                width, flat = len(self._classes), columns[name].flatten()
                ordered |= {
                    f"{PROBABILITY}_{label}": flat[number::width]
                    for number, label in enumerate(self._classes)
                }
            else:
                ordered[name] = columns[name]
        frame = pa.table(ordered).to_pandas(integer_object_nulls=True)
        frame.to_csv(self._stream, index=False, header=not self._begun)
        self._begun = True
