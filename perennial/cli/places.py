"""Files here and in the store, named in one way: a path, or s3://bucket/key."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from perennial.cli.common import open_bucket, progress_bar

if TYPE_CHECKING:
    from perennial.scoring import Address

_SCHEME = "s3://"
_CHUNK = 4 << 20


def is_stored(place: str) -> bool:
    """Whether a place is in a store."""
    return place.startswith(_SCHEME)


@contextmanager
def local_files(place: str, directory: Path) -> Iterator[list[Path]]:
    """Give the files of a table; those of a store are copied here for as long as it takes.

    Raises:
        SourceError: there is none, or it is no table by its name.
    """
    from perennial.datasets.files import table_files
    from perennial.scoring import parse_address

    if not is_stored(place):
        yield table_files(Path(place))
        return
    with tempfile.TemporaryDirectory(prefix="perennial-") as folder:
        yield _fetch(parse_address(place, ""), Path(folder), directory)


def _fetch(address: Address, folder: Path, directory: Path) -> list[Path]:
    from perennial.scoring.inputs import list_inputs
    from perennial.store import ObjectFile

    home = open_bucket(directory, address.bucket)
    found = list_inputs(home, address)
    total, done, files = sum(info.size for info in found), 0, []
    with progress_bar("from the store") as progress:
        for number, info in enumerate(found):
            source = ObjectFile(home, info.key, size=info.size, etag=info.etag)
            file = folder / f"{number:06d}-{info.key.rsplit('/', 1)[-1]}"
            with file.open("wb") as target:
                shutil.copyfileobj(source, target, _CHUNK)
            files.append(file)
            done += info.size
            progress(done, total)
    return files


def upload(file: Path, address: Address, directory: Path) -> None:
    """Put a file into a store, with a bar.

    Raises:
        StoreError: the store refuses, or has no such bucket.
    """
    home = open_bucket(directory, address.bucket)
    size, done = file.stat().st_size, 0
    with progress_bar(str(address)) as progress:

        def tell(count: int) -> None:
            nonlocal done
            done += count
            progress(done, size)

        home.upload(address.key, file, tell)
