"""The section ``source``: where the labelled history lies, and how it is written."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from perennial.spec.section import Section


class Source(Section):
    """Where the labelled history lies: what was known before the first request."""

    uri: str = Field(
        min_length=1,
        description="A csv, csv.gz or parquet file, or a folder of parquet files: a path beside "
        "pipeline.yaml, or s3://bucket/key.",
    )
    made_by: str | None = Field(
        default=None,
        description="A Python script beside pipeline.yaml that writes the file when it is missing.",
    )
    separator: str | None = Field(
        default=None,
        min_length=1,
        max_length=1,
        description="What stands between the fields of a csv. Left out: found among comma, "
        "semicolon, tab and bar.",
    )
    decimal: Literal[".", ","] | None = Field(
        default=None, description="Decimal point or comma of a csv. Left out: found."
    )
    encoding: str | None = Field(
        default=None,
        description="Encoding of a csv, such as utf-8 or cp1252. Left out: found among UTF-8, "
        "UTF-16, cp1252 and latin-1.",
    )

    @field_validator("separator")
    @classmethod
    def _separates(cls, value: str | None) -> str | None:
        if value is not None and (value.isalnum() or value in '"\r\n.'):
            raise ValueError("write the one character between two fields, such as ';' or \"\\t\"")
        return value

    @field_validator("encoding")
    @classmethod
    def _is_an_encoding(cls, value: str | None) -> str | None:
        try:
            if value is not None:
                "".encode(value)
        except LookupError:
            raise ValueError(
                "there is no such encoding: utf-8, utf-16 and cp1252 are some"
            ) from None
        return value
