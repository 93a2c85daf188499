"""What a confirmed drift looks like in Prefect's UI."""

from __future__ import annotations

import base64
from collections.abc import Sequence

from perennial.datasets.dates import in_words
from perennial.drift.reasons import Known
from perennial.drift.record import Check
from perennial.drift.why import Cause
from perennial.report.drift import drift_chart
from tasks.artifacts import publish, table


def publish_drift(pipeline: str, checks: Sequence[Check], new: int) -> None:
    """Show what is behind the newest confirmed drift among the last of checks, if there is one.

    Args:
        checks: of one base, the oldest first.
        new: how many of them, the last, to look at.
    """
    explained = [c.why for c in checks[-new:] if c.why is not None and c.why.causes]
    if not explained:
        return
    why = explained[-1]
    known = {check.window: check.dates for check in checks}
    chart = base64.b64encode(drift_chart(why, known)).decode()
    header = ["feature", "what changed", "effect", "since", "share of the loss's rise"]
    which = in_words(why.window, known)
    parts = [
        f"**{which}**: what is behind the confirmed drift",
        table(header, [_row(cause, known) for cause in why.causes]),
        f"![before and after](data:image/png;base64,{chart})",
    ]
    publish("drift", pipeline, "\n\n".join(parts), description=which)


def _row(cause: Cause, known: Known) -> tuple[str, str, float, str, str]:
    share = "" if cause.loss_share is None else f"{cause.loss_share:.0%}"
    return cause.label, cause.detail, cause.effect, in_words(cause.since, known), share
