"""Ask a stream's past what each policy would have made of it."""

from __future__ import annotations

from typing import Annotated

from prefect import flow
from prefect.states import State
from pydantic import Field

from flows.names import named
from flows.outcome import explained, outcome
from perennial.backtest.policies import PolicyName


@flow(name="backtest", flow_run_name=named("backtest {pipeline}"))
@explained
def backtest(
    pipeline: str,
    policies: list[PolicyName] | None = None,
    windows: Annotated[int, Field(ge=1)] = 50,
    train_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2,
    label_delay_windows: Annotated[int, Field(ge=0)] = 0,
    seed: Annotated[int, Field(ge=0)] | None = None,
    at_once: bool = False,
) -> State:
    """Replay policies over the pipeline's source: figures and a page go to the store.

    Args:
        pipeline: Name of the pipeline.
        policies: Which to compare. Left out: all.
        windows: Equal windows that follow the first fraction.
        train_fraction: Share of the rows that trains version 1, between 0 and 1.
        label_delay_windows: Windows by which labels come after their window's end.
        seed: Of all fits. Left out: as pipeline.yaml says.
        at_once: Versions take over as soon as their gate has passed them, whatever stages the
            rollout declares.
    """
    from tasks.backtest import replay_policies
    from tasks.declaration import find_pipeline

    declaration = find_pipeline(pipeline)
    done = replay_policies(
        declaration, policies, windows, train_fraction, label_delay_windows, seed, at_once
    )
    return outcome("Replayed", done.told)
