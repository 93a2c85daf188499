"""What a look at the stream shows in Prefect, and whom it tells."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import takewhile

from perennial.drift.detector import InputVerdict
from perennial.drift.record import Check
from perennial.store import layout
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


def tell_labels_missing(pipeline: str, check: Check, before: Sequence[Check]) -> None:
    """Say once that labels are wanted, until some come.

    Args:
        before: the checks before this one, the oldest first.
    """
    silent = list(takewhile(lambda earlier: not earlier.losses, reversed(before)))
    if check.labels_missing is None or any(c.labels_missing is not None for c in silent):
        return
    payload = {
        "window": check.window,
        "reason": check.labels_missing,
        "verdict": layout.check(pipeline, check.window),
    }
    events.emit(events.LABELS_MISSING, pipeline, payload)
    notify(
        pipeline,
        "labels are missing, the champion goes on",
        check.labels_missing,
        incident=f"labels-{check.window}",
    )


def publish_checks(pipeline: str, history: list[Check]) -> None:
    """Show the checks of a champion's base as a table, the newest first."""
    rows = [
        (
            check.window,
            check.rows,
            ", ".join(v.label for seen in _shifts(check) for v in seen.culprits),
            _losses(check),
            check.decision.name,
            check.decision.reason,
        )
        for check in reversed(history)
    ]
    header = ["window", "rows", "shifted", "loss over promise", "decision", "reason"]
    shown = table(header, rows)
    newest = history[-1]
    if isinstance(newest, WindowCheck) and str(newest.feedback or ""):
        shown = f"{newest.feedback}.\n\n{shown}"
    if isinstance(newest, WindowCheck) and newest.source_away is not None:
        shown = f"**The source is away:** {newest.source_away}. New rows of it wait.\n\n{shown}"
    publish("monitor", pipeline, shown, description=newest.window)


def _losses(check: Check) -> str:
    said = [f"{v.window}: {v.ratio:.2f}" for v in check.losses]
    if (v := check.estimated) is not None:
        said.append(f"estimated {v.ratio:.2f} ({v.low:.2f} to {v.high:.2f})")
    return ", ".join(said)


def _shifts(check: Check) -> list[InputVerdict]:
    return [*([] if check.input is None else [check.input]), *check.labels]
