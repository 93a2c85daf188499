"""Files here and in the store, named in one way: a path, or s3://bucket/key."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from perennial.cli.common import open_bucket, progress_bar

if TYPE_CHECKING:
    from perennial.scoring import Address

_SCHEME = "s3://"


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
    from perennial.scoring import copy_inputs, parse_address

    if not is_stored(place):
        yield table_files(Path(place))
        return
    address = parse_address(place, "")
    with tempfile.TemporaryDirectory(prefix="perennial-") as folder:
        with progress_bar("from the store") as progress:
            home = open_bucket(directory, address.bucket)
            files = copy_inputs(home, address, Path(folder), progress)
        yield files


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
