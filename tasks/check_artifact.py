"""What a look at the stream shows in Prefect, and whom it tells."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import takewhile

from pydantic import BaseModel

from perennial.datasets.dates import in_words
from perennial.drift.decision import Decision
from perennial.drift.detector import InputVerdict
from perennial.drift.reasons import Known, action_in_words
from perennial.drift.record import Check
from perennial.loop.record import WindowCheck
from perennial.store import layout
from tasks import events
from tasks.artifacts import publish, table
from tasks.notify import notify


class CheckRef(BaseModel):
    """A check by its key, and what it came to."""

    key: str
    window: str
    decision: Decision
    held: str | None = None
    """Why data are held, where some are."""
    held_briefly: str | None = None
    """The same in a few words."""
    suite_fault: str | None = None
    """As in the check."""


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
    """Show the checks of a champion's base as a table, the newest first, and what is held."""
    known = {check.window: check.dates for check in history}
    rows = [
        (
            in_words(check.window, known),
            check.rows,
            ", ".join(v.label for seen in _shifts(check) for v in seen.culprits),
            _losses(check, known),
            action_in_words(check.decision.name),
            check.decision.reason,
        )
        for check in reversed(history)
    ]
    header = ["window", "rows", "moved", "loss, times its reference", "decision", "reason"]
    newest, decision = in_words(history[-1].window, known), history[-1].decision
    # Prefect's UI breaks no line of a table: the newest reason stands above it, too.
    lead = f"**{newest}**: {action_in_words(decision.name)}. {decision.reason}"
    above = _above(history[-1])
    text = "\n\n".join([*above, lead, table(header, rows), *_held(history[-1])])
    publish("monitor", pipeline, text, description=newest)


def _above(newest: Check) -> list[str]:
    """What a person should know before the table."""
    if not isinstance(newest, WindowCheck):
        return []
    told = [f"{newest.feedback}." if str(newest.feedback or "") else ""]
    if newest.source_away is not None:
        told.append(f"**The source is away:** {newest.source_away}. New rows of it wait.")
    if newest.suite_fault is not None:
        told.append(f"{newest.suite_fault}: the rules before it are in force.")
    return [line for line in told if line]


def _held(check: Check) -> list[str]:
    """Why each window is held that was found to be so at the newest look."""
    verdicts = check.data if isinstance(check, WindowCheck) else ()
    lines = [
        f"- {in_words(verdict.window, verdict.dates)}: {cause}"
        for verdict in verdicts
        for cause in verdict.causes
    ]
    return ["Held:", "\n".join(lines)] if lines else []


def _losses(check: Check, known: Known) -> str:
    said = [f"{v.ratio:.2f} in {in_words(v.window, known)}" for v in check.losses]
    if (v := check.estimated) is not None:
        said.append(f"{v.ratio:.2f} by estimate ({max(v.low, 0):.2f} to {v.high:.2f})")
    return ", ".join(said)


def _shifts(check: Check) -> list[InputVerdict]:
    return [*([] if check.input is None else [check.input]), *check.labels]
