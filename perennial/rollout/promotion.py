"""The last stage of a rollout as a function from state to state."""

from __future__ import annotations

from perennial.registry.state import State


def promote(state: State, version: str) -> State:
    """Make ``version`` champion, where it is the challenger; else leave the state as it is.

    The old champion becomes ``previous``: where a rollback goes.
    """
    if state.challenger != version:
        return state
    return state.model_copy(
        update={
            "champion": version,
            "challenger": None,
            "stage": "idle",
            "weight": 0.0,
            "previous": state.champion,
        }
    )
