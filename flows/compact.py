"""Keep the logs readable: few big files for many small ones."""

# Prefect builds the form of `sizes` from the annotation itself: here they are no strings.
from prefect import flow
from prefect.states import Failed, State

from flows.names import of_pipeline
from flows.outcome import explained, outcome
from tasks.compact import Sizes, compact_logs
from tasks.declaration import find_pipelines
from tasks.each import for_each


@flow(name="compact", flow_run_name=of_pipeline)
@explained
def compact(pipeline: str | None = None, sizes: Sizes | None = None) -> State:
    """Merge small segments of the prediction log and the feedback log into bigger files.

    Servers may upload and monitors may read meanwhile; a run may be stopped anywhere.

    Args:
        pipeline: Name of the pipeline. Left out: all of them.
        sizes: How big the files should be, and what is left alone.
    """
    names = [pipeline] if pipeline is not None else find_pipelines()

    def compact_one(name: str) -> str:
        done = compact_logs(name, sizes or Sizes())
        return f"{name}: {done.segments} segments in {done.files} files"

    told, aside = for_each(names, compact_one)
    if aside:
        return Failed(message="; ".join([*map(str, aside), *told]))
    return outcome("Compacted", "; ".join(told) or "no pipeline is declared")
