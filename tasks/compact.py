"""Merge the small segments of a pipeline's logs."""

from __future__ import annotations

import time
from datetime import timedelta

from prefect.logging import get_run_logger
from pydantic import BaseModel, ConfigDict, Field

from perennial.datasets.compaction import Compacted, Target, compact
from perennial.store import layout
from perennial.store.lease import utc_now
from tasks.artifacts import publish, table
from tasks.connection import store
from tasks.step import step

_LOGS = {"predictions": layout.prediction_log, "feedback": layout.feedback_log}


class Sizes(BaseModel):
    """How big merged files should be, and what is left alone."""

    model_config = ConfigDict(frozen=True)

    rows: int = Field(500_000, ge=2, description="A file is full with so many rows,")
    megabytes: int = Field(64, ge=1, description="or with so many megabytes.")
    fewest: int = Field(16, ge=2, description="Segments that are worth a file that is not full.")
    age_minutes: int = Field(60, ge=0, description="Younger segments are left alone.")


@step(retries=2, retry_delay_seconds=2)
def compact_logs(pipeline: str, sizes: Sizes) -> Compacted:
    """Compact the prediction log and the feedback log of a pipeline.

    Raises:
        StoreError: the store cannot be reached, or a segment is damaged.
    """
    began = time.monotonic()
    target = Target(rows=sizes.rows, size=sizes.megabytes << 20, fewest=sizes.fewest)
    before = utc_now() - timedelta(minutes=sizes.age_minutes)
    done = {}
    for name, prefix in _LOGS.items():
        done[name] = Compacted()
        for step_done in compact(store(), prefix(pipeline), target, before=before):
            done[name] += step_done
            if step_done.files:
                get_run_logger().info(
                    "%s of %s: %d segments, %d rows in one file",
                    name,
                    pipeline,
                    step_done.segments,
                    step_done.rows,
                )
    _publish(pipeline, done, time.monotonic() - began)
    return sum(done.values(), Compacted())


def _publish(pipeline: str, done: dict[str, Compacted], seconds: float) -> None:
    rows = [(name, d.files, d.segments, d.rows, d.removed) for name, d in done.items()]
    header = ["log", "files written", "segments in them", "rows", "objects removed"]
    publish("compact", pipeline, table(header, rows), description=f"{seconds:.1f} s")
