"""Where the rows come from and where the scores go."""

from __future__ import annotations

from dataclasses import dataclass

from perennial.datasets.files import is_table
from perennial.errors import SpecError

_SCHEME = "s3://"


@dataclass(frozen=True)
class Address:
    """A place in a bucket: one file (csv, csv.gz, parquet), or the prefix of a folder of them."""

    bucket: str
    key: str

    @property
    def is_file(self) -> bool:
        """Whether it names one file."""
        return is_table(self.key)

    def __str__(self) -> str:
        return f"{_SCHEME}{self.bucket}/{self.key}"


def parse_address(text: str, bucket: str) -> Address:
    """Read ``s3://bucket/key``, or a key in ``bucket``; a folder's key ends with a slash then.

    Raises:
        SpecError: it names another kind of place, or a whole bucket.
    """
    if text.startswith(_SCHEME):
        bucket, _, key = text.removeprefix(_SCHEME).partition("/")
    elif "://" in text:
        raise SpecError(f"{text!r}: write s3://bucket/key, or a key in the bucket {bucket}")
    else:
        key = text.lstrip("/")
    if not bucket or not key.strip("/"):
        raise SpecError(f"{text!r} names no file and no folder: write s3://bucket/key, or a key")
    if not is_table(key):
        key = key.rstrip("/") + "/"
    return Address(bucket, key)


def check_apart(source: Address, output: Address) -> None:
    """See that scores do not land where they would be read as input.

    Raises:
        SpecError: the output names a file, or lies inside the input.
    """
    if output.is_file:
        raise SpecError(f"output: {output} names a file: write the prefix of a folder")
    if output.bucket == source.bucket and output.key.startswith(source.key):
        raise SpecError(f"output: {output} lies inside the input {source}")
