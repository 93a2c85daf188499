"""The files that are to be scored, held against what the model takes."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict

from perennial.datasets.files import SUFFIXES, csv_as_parquet, is_csv, is_table
from perennial.errors import Conflict, SourceError
from perennial.packaging.signature import Feature, Signature
from perennial.scoring.address import Address
from perennial.store import ObjectFile, ObjectInfo, Store

_CHUNK = 16 << 20


class InputFile(BaseModel):
    """A file as it stood when the job began."""

    model_config = ConfigDict(frozen=True)

    key: str
    size: int
    """Bytes."""
    etag: str
    groups: tuple[int, ...]
    """Rows of each row group."""

    @property
    def rows(self) -> int:
        """Rows in all."""
        return sum(self.groups)


def list_inputs(store: Store, address: Address) -> list[ObjectInfo]:
    """Name the files at an address in the order of their keys, as readers of folders do.

    Files and folders whose names begin with ``_`` or ``.`` are passed over.

    Raises:
        SourceError: there is none.
    """
    found = [info for info in store.scan(address.key) if _is_input(info.key, address)]
    if not found:
        endings = f"{', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}"
        what = "no such file" if address.is_file else f"no file ending in {endings} in this folder"
        raise SourceError(f"input: {address}: {what}")
    return found


def copy_inputs(
    store: Store,
    address: Address,
    folder: Path,
    progress: Callable[[int, int], None] | None = None,
) -> list[Path]:
    """Copy the files at an address into a folder, a piece at a time: they may be larger than
    memory.

    Args:
        progress: is told after each file how many bytes of how many are there.

    Raises:
        SourceError: as `list_inputs`.
    """
    found = list_inputs(store, address)
    total, done, files = sum(info.size for info in found), 0, []
    for number, info in enumerate(found):
        source = ObjectFile(store, info.key, size=info.size, etag=info.etag)
        file = folder / f"{number:06d}-{info.key.rsplit('/', 1)[-1]}"
        with file.open("wb") as target:
            shutil.copyfileobj(source, target, _CHUNK)
        files.append(file)
        done += info.size
        if progress is not None:
            progress(done, total)
    return files


def _is_input(key: str, address: Address) -> bool:
    if address.is_file:
        return key == address.key
    inside = key.removeprefix(address.key).split("/")
    return is_table(key) and not any(name.startswith(("_", ".")) for name in inside)


def inspect_input(
    store: Store, info: ObjectInfo, signature: Signature, keep: Sequence[str]
) -> tuple[InputFile, pa.Schema]:
    """Read a file's footer and see that the model can take its rows.

    Returns:
        The file, and the Arrow fields of the columns to keep.

    Raises:
        SourceError: it is no Parquet file, lacks a column, or one has a type that the model does
            not take; the message names all such columns.
    """
    file = open_input(store, info.key, size=info.size, etag=info.etag)
    schema = file.schema_arrow
    check_columns(schema, signature, keep, f"input: {info.key}")
    groups = tuple(file.metadata.row_group(i).num_rows for i in range(file.num_row_groups))
    described = InputFile(key=info.key, size=info.size, etag=info.etag, groups=groups)
    return described, pa.schema([schema.field(name).with_metadata(None) for name in keep])


def open_input(store: Store, key: str, *, size: int, etag: str) -> pq.ParquetFile:
    """Open a file for reading: Parquet in ranges, CSV whole.

    Raises:
        SourceError: it is neither.
        Conflict: it was replaced since.
    """
    if is_csv(key):
        found = store.get(key)
        if found.etag != etag:
            raise Conflict(key)
        return csv_as_parquet(io.BytesIO(found.data), f"input: {key}")
    try:
        return pq.ParquetFile(ObjectFile(store, key, size=size, etag=etag), pre_buffer=True)
    except pa.ArrowInvalid as error:
        raise SourceError(f"input: {key} is no Parquet file: {error}") from None


def check_columns(schema: pa.Schema, signature: Signature, keep: Sequence[str], where: str) -> None:
    """See that a table has the columns that are needed, and in types that the model takes.

    Args:
        where: names the table in errors.

    Raises:
        SourceError: it has not; the message names all such columns.
    """
    wanted = [*(feature.name for feature in signature.features), *keep]
    missing = sorted({name for name in wanted if name not in schema.names})
    if missing:
        raise SourceError(
            f"{where} lacks the column{'s' * (len(missing) > 1)} {', '.join(missing)}; "
            f"it has {', '.join(schema.names)}"
        )
    doubled = sorted({name for name in wanted if schema.names.count(name) > 1})
    if doubled:
        raise SourceError(f"{where} has more than one column {', '.join(doubled)}")
    held = [(feature, schema.field(feature.name).type) for feature in signature.features]
    wrong = [
        f"{feature.name} must hold {_KINDS[feature.kind]}, it holds {kind}"
        for feature, kind in held
        if not _takes(feature, kind)
    ]
    if wrong:
        raise SourceError(f"{where}: {'; '.join(wrong)}")


_KINDS = {"numeric": "numbers or bools", "categorical": "text, numbers or bools"}


def _takes(feature: Feature, kind: pa.DataType) -> bool:
    """Tell whether the server would take the values of a column, sent as JSON."""
    types = pa.types
    if types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind):
        return True
    if types.is_null(kind):
        return True
    if feature.kind == "numeric":
        return bool(types.is_decimal(kind))
    text = kind.value_type if types.is_dictionary(kind) else kind
    return bool(types.is_string(text) or types.is_large_string(text))
