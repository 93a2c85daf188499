"""What a scoring fixes before its first part, so that every later run goes on with just that.

``_job.json`` is put once, under the condition that none stands: of runs that start at once one
decides the version, the files and where parts begin. Each part is put once under a name that the
job gives it. ``_manifest.json`` is put when all parts are there.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import pyarrow as pa
from pydantic import AwareDatetime, BaseModel, ConfigDict

from perennial.errors import Conflict, SourceError, SpecError, StoreError
from perennial.packaging.signature import Signature
from perennial.scoring.address import Address
from perennial.scoring.inputs import InputFile, inspect_input, list_inputs
from perennial.store import Store, layout
from perennial.store.lease import utc_now

PART_ROWS = 262_144
"""Row groups of a file are put together up to so many rows; a bigger one is a part of its own."""


class Request(BaseModel):
    """What was asked for."""

    model_config = ConfigDict(frozen=True)

    pipeline: str
    input: str
    """``s3://`` address of a file or folder."""
    keep: tuple[str, ...] = ()
    """Columns of the input that are copied into the output."""


class Part(BaseModel):
    """Row groups [first, last) of one file, and the scores of their rows."""

    model_config = ConfigDict(frozen=True)

    number: int
    file: int
    """Which of the job's files."""
    first: int
    last: int
    start: int
    """Rows of the whole input before it."""
    rows: int


class Job(BaseModel):
    """``_job.json``."""

    model_config = ConfigDict(frozen=True)

    format: Literal[1] = 1
    request: Request
    version: str
    files: tuple[InputFile, ...]
    part_rows: int
    created_at: AwareDatetime

    @property
    def rows(self) -> int:
        """Rows of all files."""
        return sum(file.rows for file in self.files)

    def parts(self) -> Iterator[Part]:
        """Cut the input into parts; the same job always gives the same."""
        start = number = 0
        for index, file in enumerate(self.files):
            for first, last, rows in _runs(file.groups, self.part_rows):
                yield Part(
                    number=number, file=index, first=first, last=last, start=start, rows=rows
                )
                number += 1
                start += rows


def _runs(groups: tuple[int, ...], limit: int) -> Iterator[tuple[int, int, int]]:
    """Put neighbouring row groups together; (first, last, rows), empty runs left out."""
    first = rows = 0
    for index, size in enumerate(groups):
        if rows and rows + size > limit:
            yield first, index, rows
            first, rows = index, 0
        rows += size
    if rows:
        yield first, len(groups), rows


class ScoredPart(BaseModel):
    """A part as it lies in the store."""

    model_config = ConfigDict(frozen=True)

    key: str
    rows: int
    size: int
    """Bytes."""
    etag: str


class ScoreManifest(BaseModel):
    """``_manifest.json``."""

    model_config = ConfigDict(frozen=True)

    format: Literal[1] = 1
    request: Request
    version: str
    rows: int
    parts: tuple[ScoredPart, ...]
    created_at: AwareDatetime
    """When the job was fixed."""
    finished_at: AwareDatetime


def find_job(store: Store, output: str, request: Request, version: str | None) -> Job | None:
    """Read the job at an output prefix; None: there is none.

    Args:
        output: prefix, with its slash.
        version: the one asked for; None: whatever the job has.

    Raises:
        SpecError: another job's scores lie there.
    """
    found = store.find(layout.score_job(output))
    if found is None:
        return None
    job = Job.model_validate_json(found.data)
    _check_same(job, request, version, output)
    return job


def fix_job(store: Store, output: str, job: Job, version: str | None) -> Job:
    """Put a job's file; where another run of the same request was first, its job holds.

    Args:
        output, version: as in `find_job`.

    Raises:
        SpecError: another job was put at the same time.
    """
    try:
        store.put_json(layout.score_job(output), job, if_absent=True)
    except Conflict:
        first = find_job(store, output, job.request, version)
        if first is None:
            raise
        return first
    return job


def new_job(
    inputs: Store,
    source: Address,
    request: Request,
    version: str,
    signature: Signature,
    part_rows: int = PART_ROWS,
) -> Job:
    """Plan a job over what lies at an address now.

    Args:
        inputs: the address's bucket.

    Raises:
        SourceError: there is no file, or the model does not take one of them.
    """
    files = []
    kept: pa.Schema | None = None
    for info in list_inputs(inputs, source):
        file, columns = inspect_input(inputs, info, signature, request.keep)
        if kept is not None and columns != kept:
            raise SourceError(f"input: {info.key} has other types in the columns to keep")
        kept = columns
        files.append(file)
    return Job(
        request=request,
        version=version,
        files=tuple(files),
        part_rows=part_rows,
        created_at=utc_now(),
    )


def _check_same(job: Job, request: Request, version: str | None, output: str) -> None:
    if job.request != request or version not in (None, job.version):
        raise SpecError(
            f"output: {output} holds the scores of {job.request.input} "
            f"by version {job.version} of {job.request.pipeline}"
            f"{' with ' + ', '.join(job.request.keep) if job.request.keep else ''}: "
            "name another prefix"
        )


def standing_parts(store: Store, output: str, job: Job) -> dict[int, ScoredPart]:
    """Find the parts of a job that are in the store, by number."""
    infos = {info.key: info for info in store.scan(f"{output}part-")}
    found = {}
    for part in job.parts():
        info = infos.get(layout.score_part(output, part.number))
        if info is not None:
            found[part.number] = ScoredPart(
                key=info.key, rows=part.rows, size=info.size, etag=info.etag
            )
    return found


def finish_job(store: Store, output: str, job: Job) -> ScoreManifest:
    """Write the manifest, if all parts are there; a manifest that stands stays as it is.

    Raises:
        StoreError: a part is missing.
    """
    key = layout.score_manifest(output)
    parts = standing_parts(store, output, job)
    missing = [part.number for part in job.parts() if part.number not in parts]
    if missing:
        raise StoreError(
            f"part {missing[0]} of {output} is not in the store: run the scoring again"
        )
    manifest = ScoreManifest(
        request=job.request,
        version=job.version,
        rows=job.rows,
        parts=tuple(parts[number] for number in sorted(parts)),
        created_at=job.created_at,
        finished_at=utc_now(),
    )
    try:
        store.put_json(key, manifest, if_absent=True)
    except Conflict:
        return ScoreManifest.model_validate_json(store.get(key).data)
    return manifest
