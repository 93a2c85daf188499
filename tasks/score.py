"""Score files in the store with a version of a pipeline."""

from __future__ import annotations

import time

from prefect.logging import get_run_logger
from pydantic import BaseModel, ConfigDict

from perennial.errors import ModelError, NotFound
from perennial.loop.versions import find_champion, load_version
from perennial.registry import Manifest, read_manifest, read_signature
from perennial.scoring import (
    Address,
    Job,
    Part,
    Request,
    ScoreManifest,
    Scorer,
    check_apart,
    check_kept,
    find_job,
    finish_job,
    fix_job,
    new_job,
    parse_address,
)
from tasks.artifacts import publish, table
from tasks.connection import store, store_of
from tasks.step import may_pass, step


class ScoreRef(BaseModel):
    """A scoring by its output prefix, and what it does."""

    model_config = ConfigDict(frozen=True)

    input: Address
    output: Address
    job: Job


class Scored(BaseModel):
    """What a run of a scoring came to."""

    manifest: ScoreManifest
    rows: int
    """Rows that this run scored; the others stood already."""
    seconds: float


@step(retries=2, retry_delay_seconds=2, retry_condition_fn=may_pass)
def open_scoring(
    pipeline: str, source: str, output: str, version: str | None, keep: list[str]
) -> ScoreRef:
    """Go on with the scoring at an output prefix, or begin one with the version that answers now.

    Raises:
        SpecError: an address is none, or the scores of another job lie there.
        SourceError: the input is not there, or the model does not take it.
        ModelError: there is no such version, or none at all.
    """
    rows, scores = parse_address(source, store().bucket), parse_address(output, store().bucket)
    check_apart(rows, scores)
    check_kept(keep)
    request = Request(pipeline=pipeline, input=str(rows), keep=tuple(keep))
    home = store_of(scores.bucket)
    job = find_job(home, scores.key, request, version)
    if job is None:
        manifest = _choose(pipeline, version)
        signature = read_signature(store(), manifest)
        planned = new_job(store_of(rows.bucket), rows, request, manifest.version, signature)
        job = fix_job(home, scores.key, planned, version)
    get_run_logger().info(
        "%d rows in %d files, by version %s, into %s", job.rows, len(job.files), job.version, scores
    )
    return ScoreRef(input=rows, output=scores, job=job)


@step(retries=3, retry_delay_seconds=5, retry_condition_fn=may_pass)
def score_parts(ref: ScoreRef) -> Scored:
    """Score every part that is not in the store yet, then write the manifest.

    Raises:
        SourceError: an input changed since the scoring began.
        RequestError: a number that the model cannot take.
    """
    began = time.monotonic()
    job, home = ref.job, store_of(ref.output.bucket)
    predictor = load_version(store(), read_manifest(store(), job.request.pipeline, job.version))
    scorer = Scorer(home, store_of(ref.input.bucket), ref.output.key, job, predictor)
    scored = 0
    for part, is_new in scorer.run():
        scored += part.rows if is_new else 0
        _tell(job, part, is_new, scored / (time.monotonic() - began))
    manifest = finish_job(home, ref.output.key, job)
    done = Scored(manifest=manifest, rows=scored, seconds=time.monotonic() - began)
    _publish(ref, done)
    return done


def _choose(pipeline: str, version: str | None) -> Manifest:
    if version is None:
        champion = find_champion(store(), pipeline)
        if champion is None:
            raise ModelError(f"{pipeline} has no champion yet: train one, or name a version")
        return champion.version
    try:
        return read_manifest(store(), pipeline, version)
    except NotFound:
        raise ModelError(
            f"{pipeline} has no version {version!r}; 'perennial versions {pipeline}' names them"
        ) from None


def _tell(job: Job, part: Part, is_new: bool, speed: float) -> None:
    there = part.start + part.rows
    if is_new:
        get_run_logger().info(
            "part %d: %d of %d rows, %.0f rows/s", part.number, there, job.rows, speed
        )
    else:
        get_run_logger().info("part %d stands: %d of %d rows", part.number, there, job.rows)


def _publish(ref: ScoreRef, done: Scored) -> None:
    manifest = done.manifest
    rows = [
        ("version", manifest.version),
        ("input", ref.input),
        ("output", ref.output),
        ("rows", manifest.rows),
        ("rows scored by this run", done.rows),
        ("seconds", done.seconds),
        ("parts", len(manifest.parts)),
    ]
    publish(
        "score",
        manifest.request.pipeline,
        table(["", "score"], rows),
        description=f"{manifest.rows} rows by {manifest.version}",
    )
