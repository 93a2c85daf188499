"""Hold data against a pipeline's expectations before they are given to it."""

from __future__ import annotations

from prefect import flow
from prefect.states import State

from flows.names import named
from flows.outcome import explained, notable, outcome


@flow(name="validate", flow_run_name=named("validate {pipeline}: {data}"))
@explained
def validate(pipeline: str, data: str = "the source") -> State:
    """Hold a CSV or Parquet in the store, or the pipeline's source, against its expectations.

    Nothing is trained and nothing goes to quarantine: a page says what would.

    Args:
        pipeline: Name of the pipeline.
        data: s3://bucket/key, or a key in Perennial's bucket; one .csv, .csv.gz or .parquet file,
            or a folder of them. Left as it is: what pipeline.yaml names.
    """
    from tasks.declaration import find_pipeline
    from tasks.hold_against import hold_against

    declaration = find_pipeline(pipeline)
    held = hold_against(declaration, None if data == "the source" else data)
    if held.held:
        return notable("Would be held", held.told)
    return outcome("Sound", held.told)
