"""Answer the rows of files instead of requests."""

from __future__ import annotations

from prefect import flow
from prefect.states import State

from flows.names import named
from flows.outcome import explained, outcome


@flow(name="score", flow_run_name=named("score {pipeline}: {source}"))
@explained
def score(
    pipeline: str,
    source: str,
    output: str,
    version: str | None = None,
    keep: list[str] | None = None,
) -> State:
    """Predict over a CSV or Parquet file or folder in the store, one output row an input row.

    A run that was stopped is gone on with by another one of the same parameters: with the same
    version, and without scoring a part twice.

    Args:
        pipeline: Name of the pipeline.
        source: What to score: s3://bucket/key, or a key in Perennial's bucket; one .csv, .csv.gz or
            .parquet file, or a folder, read in the order of its keys.
        output: Folder for the scores, likewise; part-000000.parquet and so on, and _manifest.json
            when all are there.
        version: A version of the pipeline. Left out: the champion of when the scoring begins.
        keep: Columns of the input that stand beside the scores; such as an id.
    """
    from tasks.score import open_scoring, score_parts

    scoring = open_scoring(pipeline, source, output, version, keep or [])
    scored = score_parts(scoring)
    return outcome(
        "Scored",
        f"{scored.manifest.rows} rows by version {scored.manifest.version}, "
        f"{scored.rows} of them in this run, in {scored.seconds:.1f} s",
    )
