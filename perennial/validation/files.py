"""Hold files against a suite: Parquet in batches, for it may be larger than memory; CSV whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from perennial.datasets.files import is_csv
from perennial.datasets.labels import with_truth
from perennial.datasets.source import plain_text, read_source
from perennial.errors import ValidationFailed
from perennial.spec import PipelineSpec
from perennial.validation.evaluate import Evaluation, validate_training
from perennial.validation.report import Report

Progress = Callable[[int, int], None]
"""Is told how many rows of how many are done."""


def validate_files(
    files: Sequence[Path],
    suite: dict[str, Any],
    spec: PipelineSpec,
    *,
    progress: Progress | None = None,
) -> Report:
    """Hold files against a suite as a training on their rows would.

    Args:
        files: csv, csv.gz or parquet, of one table together.

    Raises:
        ValidationFailed: as `Evaluation`; or a file cannot be read as Parquet.
        SourceError: a CSV cannot be read, or lacks what the spec names.
    """
    share = spec.validation.quarantine_share
    if not any(is_csv(file.name) for file in files):
        return validate_parquet(files, suite, share=share, spec=spec, progress=progress)
    read = [_read_as_source(file, spec) for file in files]
    return validate_training(pd.concat(read, ignore_index=True), suite, spec)


def _read_as_source(file: Path, spec: PipelineSpec) -> pd.DataFrame:
    source = spec.source.model_copy(update={"uri": str(file.resolve()), "made_by": None})
    return read_source(spec.model_copy(update={"source": source}), file.parent)


def validate_parquet(
    folder: Path | Sequence[Path],
    suite: dict[str, Any],
    *,
    share: float = 0.0,
    batch_rows: int = 65_536,
    spec: PipelineSpec | None = None,
    progress: Progress | None = None,
) -> Report:
    """Hold Parquet files or a folder against a suite, ``batch_rows`` rows in memory at a time.

    Of each row group, one after the other, the columns that rules name are read.

    Args:
        spec: of the pipeline that would be trained on them: rows without a label are left out.
        progress: is told after each batch how many rows of how many are done.

    Raises:
        ValidationFailed: as `Evaluation`; or there is nothing to read.
    """
    import pyarrow as pa
    import pyarrow.dataset as ds

    try:
        names = str(folder) if isinstance(folder, Path) else [str(path) for path in folder]
        source = ds.dataset(names, format="parquet")
    except (OSError, pa.ArrowInvalid) as error:
        raise ValidationFailed(f"{folder} cannot be read as Parquet: {error}") from None
    evaluation = Evaluation(suite, share=share)
    named = {name for rule in evaluation.rules for name in rule.columns}
    if spec is not None:
        named = (named | {spec.target}) - set(spec.ignore)
    columns = [name for name in source.schema.names if name in named]
    total, seen, judged = source.count_rows(), 0, 0
    # A column at least, for the rows to be counted by.
    for batch in _batches(source, batch_rows, columns or source.schema.names[:1]):
        frame = _as_trained(batch, spec)
        evaluation.add(frame)
        seen, judged = seen + len(batch), judged + len(frame)
        if progress is not None:
            progress(seen, total)

    def read(columns: list[str] | None) -> pd.DataFrame:
        wanted = set(source.schema.names if columns is None else columns)
        if spec is not None:
            wanted = (wanted | {spec.target}) - set(spec.ignore)
        known = [name for name in source.schema.names if name in wanted]
        return _as_trained(_as_pandas(source.to_table(columns=known), _with_gaps(source)), spec)

    return evaluation.report(read).model_copy(update={"unlabelled": seen - judged})


def _as_trained(frame: pd.DataFrame, spec: PipelineSpec | None) -> pd.DataFrame:
    """Rows as a training of this pipeline would see them."""
    if spec is None:
        return frame
    frame = plain_text(frame, spec)
    return with_truth(frame, spec) if spec.target in frame.columns else frame


def _batches(source: Any, rows: int, columns: list[str]) -> Iterable[pd.DataFrame]:
    """Read row group by row group: a scan of the whole folder decodes far ahead of its reader."""
    import pyarrow.dataset as ds

    gaps = _with_gaps(source)
    # Buffered ahead, a fragment keeps all of its file's bytes until it is read to the end.
    options = ds.ParquetFragmentScanOptions(pre_buffer=False)
    for fragment in source.get_fragments():
        for group in fragment.split_by_row_group():
            for batch in group.to_batches(
                source.schema,
                columns=columns,
                batch_size=rows,
                batch_readahead=1,
                use_threads=False,
                fragment_scan_options=options,
            ):
                if batch.num_rows:
                    yield _as_pandas(batch, gaps)


def _with_gaps(source: Any) -> set[str]:
    """Columns with a missing value anywhere: their type in pandas must not vary by batch."""
    gaps = set()
    for fragment in source.get_fragments():
        for group in fragment.metadata.to_dict()["row_groups"]:
            for column in group["columns"]:
                known = column["statistics"]
                if known is None or known["null_count"] is None or known["null_count"] > 0:
                    gaps.add(column["path_in_schema"])
    return gaps


def _as_pandas(table: Any, gaps: set[str]) -> pd.DataFrame:
    frame = table.to_pandas()
    whole = [c for c in frame.columns if c in gaps and pd.api.types.is_integer_dtype(frame[c])]
    truths = [c for c in frame.columns if c in gaps and pd.api.types.is_bool_dtype(frame[c])]
    types = {**dict.fromkeys(whole, "float64"), **dict.fromkeys(truths, object)}
    converted: pd.DataFrame = frame.astype(types)
    return converted
