"""``checks/<window>.json``: every verdict and decision, also "keep"."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import AwareDatetime, Field

from perennial.drift.decision import Decision, Verdicts
from perennial.drift.detector import InputVerdict
from perennial.drift.why import Explanation


class Check(Verdicts):
    """One look at the stream. It is itself the `Verdicts` that later decisions go by."""

    format: Literal[1] = 1
    pipeline: str
    cursor: dict[str, Any] = Field(default_factory=dict)
    """Where in the stream the window ends."""
    rows: int = Field(ge=0)
    champion: str
    base: str | None = None
    """The version whose trained graph stands in the champion; None: the champion itself."""
    decision: Decision
    labels: tuple[InputVerdict, ...] = ()
    """On the labels themselves, of the windows whose loss was judged."""
    why: Explanation | None = None
    """What is behind the shifts that were confirmed; None: none was."""
    labels_missing: str | None = None
    """Why a person is to see to the labels, where one is."""
    at: AwareDatetime
