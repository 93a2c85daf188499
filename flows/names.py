"""What runs are called, and which pipeline they are filtered by."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import httpx
from prefect import runtime
from prefect.client.orchestration import get_client
from prefect.logging import get_logger

_LONGEST = 60
_GREEK = (
    "alpha|beta|gamma|delta|epsilon|zeta|eta|theta|iota|kappa|lambda|mu|nu|xi|omicron|pi|rho|sigma|"
    "tau|upsilon|phi|chi|psi|omega"
)
_MADE_UP = re.compile(rf"[a-z]+-[a-z]+|({_GREEK})[\d.]*(-[a-z]+)*")
"""What Prefect calls a run that nobody has named: its server has words such as tactful-horse, its
form begins with a star such as mu6-risa-k."""
logger = get_logger("perennial.flows")


def named(pattern: str) -> Callable[[], str]:
    """Name runs by a flow's parameters, such as ``rollback {pipeline}``, unless somebody has."""

    def name() -> str:
        return _typed() or pattern.format(**_parameters())

    return name


def of_pipeline() -> str:
    """Such as ``monitor bike``; ``gc of all pipelines`` where none is named."""
    return _typed() or _of_pipeline()


def with_reason() -> str:
    """Such as ``retrain bike: drift in temp, hum``: the reason as far as it names the matter."""
    if typed := _typed():
        return typed
    reason = " ".join(str(_parameters().get("reason") or "").split())
    head = reason.partition("; ")[0].partition(": ")[0]
    if len(head) > _LONGEST:
        head = head[:_LONGEST].rstrip() + "…"
    return f"{_of_pipeline()}: {head}" if head else _of_pipeline()


def tag_run() -> None:
    """Give this run a tag such as ``pipeline:bike``, by which the dashboard, lists of runs and
    automations can be narrowed to one pipeline.

    At its begin, because neither a schedule nor a trigger can say which tags its runs shall have.
    A run that looks at all pipelines has none.
    """
    pipeline, run = _parameters().get("pipeline"), runtime.flow_run.id
    if not pipeline or run is None:
        return
    tag = f"pipeline:{str(pipeline).rstrip('/').rpartition('/')[2]}"
    tags = [*runtime.flow_run.tags]
    if tag in tags:
        return
    try:
        with get_client(sync_client=True) as client:
            client.update_flow_run(run, tags=[*tags, tag])
    except httpx.HTTPError as error:  # no reason for a run to fail
        logger.warning("this run has no tag %s: %s", tag, error)


def _of_pipeline() -> str:
    pipeline = _parameters().get("pipeline")
    what = runtime.flow_run.flow_name
    return f"{what} {pipeline}" if pipeline else f"{what} of all pipelines"


def _typed() -> str | None:
    """The name that a run has already, where it is not one that Prefect made up."""
    name = str(runtime.flow_run.name or "")
    return None if not name or _MADE_UP.fullmatch(name) else name


def _parameters() -> dict[str, Any]:
    found: dict[str, Any] = runtime.flow_run.parameters
    return found
