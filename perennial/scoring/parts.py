"""Score one part after the other, a batch of rows at a time."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import suppress

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from perennial.datasets.files import is_csv
from perennial.errors import Conflict, NotFound, RequestError, SourceError, SpecError
from perennial.packaging.predictor import Predictor, encode_frame, predicted_labels
from perennial.packaging.signature import Signature
from perennial.scoring.inputs import InputFile, open_input
from perennial.scoring.job import Job, Part, standing_parts
from perennial.store import Store, layout

BATCH_ROWS = 32_768
"""Rows that are decoded, encoded and predicted together."""
ROW = "row"
PREDICTION = "prediction"
PROBABILITY = "probability"
PROBABILITIES = "probabilities"
OWN_COLUMNS = (ROW, PREDICTION, PROBABILITY, PROBABILITIES)
"""What the output adds to the columns that are kept."""


def score_columns(signature: Signature) -> list[pa.Field]:
    """Columns of the scores.

    ``row`` counts the rows of the whole input from 0, files in the order of their keys.
    ``prediction`` is the value, or the label of the class that the model votes for; for two
    classes ``probability`` is that of the second, for more ``probabilities`` has one a class, both
    in the order that the file's metadata gives under ``perennial.classes``.
    """
    row = pa.field(ROW, pa.int64(), nullable=False)
    if signature.task == "regression":
        return [row, pa.field(PREDICTION, pa.float32())]
    label = pa.field(PREDICTION, pa.string())
    if signature.width == 1:
        return [row, label, pa.field(PROBABILITY, pa.float32())]
    return [row, label, pa.field(PROBABILITIES, pa.list_(pa.float32(), signature.width))]


def check_kept(keep: Sequence[str]) -> None:
    """See that the columns to keep can stand beside those of the scores.

    Raises:
        SpecError: one has the name of a column of the scores, or is named twice.
    """
    taken = [name for name in keep if name in OWN_COLUMNS]
    if taken:
        raise SpecError(f"keep: {taken[0]!r} is a column of the scores: rename it in the input")
    if len(set(keep)) < len(keep):
        raise SpecError("keep: a column is named twice")


class Scorer:
    """Scores the parts of a job that are not there yet.

    Args:
        store, inputs: buckets of the output and of the input.
        output: prefix, with its slash.
    """

    def __init__(
        self, store: Store, inputs: Store, output: str, job: Job, predictor: Predictor
    ) -> None:
        self._store = store
        self._inputs = inputs
        self._output = output
        self._job = job
        self._predictor = predictor
        self._csv: tuple[InputFile, pq.ParquetFile] | None = None

    def run(self) -> Iterator[tuple[Part, bool]]:
        """Yield each part once it is in the store, and whether it was put just now.

        Memory holds a batch of rows, the bytes of one row group, and the scores of one part.

        Raises:
            SourceError: an input changed or vanished since the job was fixed.
            RequestError: a number is beyond a float32, as the server refuses it too.
            ModelError: the model fails.
        """
        standing = standing_parts(self._store, self._output, self._job)
        for part in self._job.parts():
            if part.number not in standing:
                data = self._score(part)
                # Another run of this job was first with the same rows.
                with suppress(Conflict):
                    self._store.put(
                        layout.score_part(self._output, part.number), data, if_absent=True
                    )
            yield part, part.number not in standing

    def _score(self, part: Part) -> bytes:
        file = self._job.files[part.file]
        try:
            return self._write(part, file)
        except (Conflict, NotFound):
            raise SourceError(
                f"input: {file.key} changed or vanished since the scoring began: "
                "score into another prefix"
            ) from None

    def _write(self, part: Part, file: InputFile) -> bytes:
        source = self._source(file)
        kept = pa.schema([source.schema_arrow.field(name) for name in self._job.request.keep])
        schema = self._schema(kept)
        sink = io.BytesIO()
        row = part.start
        before = sum(file.groups[: part.first]) - part.start
        with pq.ParquetWriter(sink, schema, compression="zstd") as writer:
            for batch in self._batches(source, part):
                columns = answers(self._predictor, batch, row, file.key, before + row)
                columns |= {name: batch.column(name) for name in kept.names}
                writer.write_batch(
                    pa.record_batch([columns[name] for name in schema.names], schema=schema)
                )
                row += batch.num_rows
        if row != part.start + part.rows:
            raise SourceError(f"input: {file.key} is damaged: a row group has lost rows")
        return sink.getvalue()

    def _batches(self, source: pq.ParquetFile, part: Part) -> Iterator[pa.RecordBatch]:
        columns = needed_columns(self._predictor.signature, self._job.request.keep)
        for group in range(part.first, part.last):
            yield from source.iter_batches(BATCH_ROWS, row_groups=[group], columns=columns)

    def _source(self, file: InputFile) -> pq.ParquetFile:
        """Open a file; a CSV, which is read whole, once for all of its parts."""
        if self._csv is not None and self._csv[0] == file:
            return self._csv[1]
        opened = open_input(self._inputs, file.key, size=file.size, etag=file.etag)
        self._csv = (file, opened) if is_csv(file.key) else None
        return opened

    def _schema(self, kept: pa.Schema) -> pa.Schema:
        signature = self._predictor.signature
        metadata = {
            "perennial.pipeline": self._job.request.pipeline,
            "perennial.version": self._job.version,
            "perennial.classes": "\n".join(signature.classes),
        }
        return pa.schema([*score_columns(signature), *kept], metadata=metadata)


def needed_columns(signature: Signature, keep: Sequence[str]) -> list[str]:
    """Name the columns that are read: the features, and those to keep."""
    return list(dict.fromkeys([*(feature.name for feature in signature.features), *keep]))


def answers(
    predictor: Predictor, batch: pa.RecordBatch, row: int, where: str, inside: int
) -> dict[str, pa.Array]:
    """Score a batch of rows; the columns that `score_columns` names.

    Args:
        row: number of its first row in the whole input.
        where: the file, for errors.
        inside: number of its first row in that file.

    Raises:
        RequestError: a number is beyond a float32, as the server refuses it too.
    """
    signature = predictor.signature
    numeric, categorical = encode_frame(signature, batch.to_pandas(integer_object_nulls=True))
    _refuse_infinite(numeric, signature, where, inside)
    output = predictor.predict(numeric, categorical)
    return {ROW: pa.array(np.arange(row, row + batch.num_rows)), **_answers(signature, output)}


def _refuse_infinite(
    numeric: NDArray[np.float32] | None, signature: Signature, where: str, inside: int
) -> None:
    """See that a float32 holds every number, as the server does.

    Args:
        inside: rows of the file before these.
    """
    if numeric is None or not np.isinf(numeric).any():
        return
    row, column = np.argwhere(np.isinf(numeric))[0]
    raise RequestError(
        f"input: {where}, row {inside + row}: {signature.numeric[column]} is beyond what a "
        "float32 holds"
    )


def _answers(signature: Signature, output: NDArray[np.float32]) -> dict[str, pa.Array]:
    """Name what a model put out, as `score_columns` says."""
    if signature.task == "regression":
        return {PREDICTION: pa.array(output[:, 0])}
    labels = pa.array(predicted_labels(signature, output), pa.string())
    if signature.width == 1:
        return {PREDICTION: labels, PROBABILITY: pa.array(output[:, 0])}
    flat = pa.array(output.ravel())
    spread = pa.FixedSizeListArray.from_arrays(flat, signature.width)
    return {PREDICTION: labels, PROBABILITIES: spread}
