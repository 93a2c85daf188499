"""What a look at the stream shows in Prefect, and whom it tells."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from perennial.drift.detector import InputVerdict
from perennial.drift.record import Check
from tasks import events
from tasks.artifacts import publish, table
from tasks.notify import notify
from tasks.window_check import CheckRef, WindowCheck


def tell_held(pipeline: str, ref: CheckRef, history: Sequence[Check]) -> None:
    """Say that data are held: an event, and a message to who wants to know.

    Args:
        history: the checks up to this one. Windows in a row that are held for the same cause are
            one incident.
    """
    if ref.held is None:
        return
    payload = {"window": ref.window, "reason": ref.held, "verdict": ref.key}
    events.emit(events.DATA_HELD, pipeline, payload)
    began, causes = _began(history)
    notify(
        pipeline,
        "data held, the champion goes on",
        ref.held,
        incident=f"held-{began}-{hashlib.sha256(repr(causes).encode()).hexdigest()[:12]}",
    )


def _began(history: Sequence[Check]) -> tuple[str, list[str]]:
    """The first of the newest windows in a row that are held for the same, and that."""
    causes = _causes(history[-1])
    began = history[-1].window
    for check in reversed(history):
        if not _causes(check) & causes:
            break
        began = check.window
    return began, sorted(causes)


def _causes(check: Check) -> set[str]:
    verdicts = check.data if isinstance(check, WindowCheck) else ()
    return {
        "_".join([cause.kind, *cause.columns]) for verdict in verdicts for cause in verdict.causes
    }


def publish_checks(pipeline: str, history: list[Check]) -> None:
    """Show the checks of a champion's base as a table, the newest first."""
    rows = [
        (
            check.window,
            check.rows,
            ", ".join(v.label for seen in _shifts(check) for v in seen.culprits),
            ", ".join(f"{v.window}: {v.ratio:.2f}" for v in check.losses),
            check.decision.name,
            check.decision.reason,
        )
        for check in reversed(history)
    ]
    header = ["window", "rows", "shifted", "loss over promise", "decision", "reason"]
    publish("monitor", pipeline, table(header, rows), description=history[-1].window)


def _shifts(check: Check) -> list[InputVerdict]:
    return [*([] if check.input is None else [check.input]), *check.labels]
