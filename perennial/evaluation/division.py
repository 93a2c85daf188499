"""Which of the labelled rows train a candidate, which its small models, and which judge it.

The rule that everything else follows from: candidate and champion are compared only on rows that
neither has learned from. On rows that it has learned from, a model always looks better than it is.
So a refitted model leaves the newest rows out that the champion does not know either, and ships as
it was judged; small models are fitted on all of them, and until then those that stand answer in the
trial. A model that begins a mixture is judged by a trial and then made again with all rows. Where
rows have hardly come since, it is held against the champion's as it was before that: its trial,
which does not know the newest rows either. Where there is none, nothing is judged.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from perennial.errors import TrainingError
from perennial.spec import Depth, Gates

MIN_ROWS = 10
"""With fewer rows nothing is judged."""
_WANTED_ROWS = 30
TRIAL_SHARE = 3
"""Of the rows that a model learns from, one part in so many is the most that is left out to judge
by."""
MIN_HEAD_ROWS = TRIAL_SHARE * MIN_ROWS
FEWEST_HEAD_ROWS = 5 * MIN_HEAD_ROWS
"""Short windows are taken together until they hold so many rows, or there are no more."""
HEAD_WINDOWS, MOST_HEAD_WINDOWS = 5, 12
"""Newest windows that small models are fitted on: one more for each by which labels are late, up to
the second. What was learned from few windows does not hold for long."""
MOST_HEAD_ROWS = 6_000
"""Of longer windows fewer are taken, one at least: so small a model learns no more."""
HELD_WINDOWS = 2
"""Newest windows that a model which begins a mixture is judged by, where it takes another one's
place."""
JUDGED_SHARE = 4
"""A refitted model is judged by one part in so many of a window: it ships without those rows."""


class Unseen(BaseModel):
    """How many of the newest labelled rows a champion has not learned from."""

    model_config = ConfigDict(frozen=True)

    base: int
    """That the model does not know with which its mixture began."""
    champion: int
    """That none of its models knows: as many, or fewer."""
    trial: int | None = None
    """That the trial of its first model does not know: as many as that, or more; None: it was not
    kept."""


class Division(BaseModel):
    """What becomes of the labelled rows, counted from the newest on."""

    model_config = ConfigDict(frozen=True)

    judged: int
    """Newest rows, which judge: no model of the trial learns from them."""
    heads: int = 0
    """Newest rows on which small models are fitted; 0: there are none."""
    anew: bool = False
    """Whether the model begins a mixture of its own. Else it goes on with the champion's."""
    rematch: bool = False
    """Whether the champion's trial stands for it: both are judged as they were before they learned
    the newest rows."""
    refusal: str | None = None
    """Why nothing can be judged, and what helps; None: it can."""


def divide(
    depth: Depth,
    rows: int,
    window: int,
    *,
    gates: Gates,
    unseen: Unseen | None,
    anew: bool = False,
    span: int,
) -> Division:
    """Divide the labelled rows of a snapshot.

    Args:
        depth: of the heal.
        rows: labelled rows there are, in time order.
        window: rows that are judged together.
        unseen: what the champion has not learned from; None: there is none, a first version is made
            and judged by itself.
        anew: whether a retrain is to begin a mixture of its own.
        span: newest rows that are wished for to fit small models on.

    Raises:
        TrainingError: too few rows to fit small models on.
    """
    if unseen is None:
        held = holdout_rows(rows, window, gates)
        return Division(judged=held, anew=True, refusal=_too_few_to_begin(held, rows))
    if anew:
        return _against_another(rows, window, unseen)
    if depth == "correct":
        fitted = head_rows(unseen.base, span)
        judged = min(max(window, MIN_ROWS), fitted // TRIAL_SHARE, unseen.champion)
        return Division(judged=judged, heads=fitted, refusal=_too_few(judged))
    wanted = max(window // JUDGED_SHARE, _WANTED_ROWS)
    judged = min(wanted, rows // TRIAL_SHARE, unseen.champion)
    enough = unseen.base >= MIN_HEAD_ROWS
    fitted = head_rows(unseen.base, span) if enough else 0
    return Division(judged=judged, heads=fitted, refusal=_too_few(judged))


def _against_another(rows: int, window: int, unseen: Unseen) -> Division:
    judged = min(held_rows(rows, window), unseen.champion)
    again = min(unseen.trial or 0, rows // TRIAL_SHARE)
    if judged < MIN_ROWS <= again:
        return Division(judged=again, anew=True, rematch=True)
    return Division(judged=judged, anew=True, refusal=_too_few(judged))


def head_span(window: int, late: int = 0) -> int:
    """How many of the newest rows small models are fitted on, where there are so many.

    Args:
        window: rows that are judged together.
        late: windows by which labels come behind a window's end.
    """
    windows = min(HEAD_WINDOWS + late, MOST_HEAD_WINDOWS)
    windows = max(1, min(windows, MOST_HEAD_ROWS // window))
    return max(windows * window, FEWEST_HEAD_ROWS)


def head_rows(unseen: int, span: int) -> int:
    """How many of the newest rows to fit small models on.

    Args:
        unseen: the newest rows that the base has not been trained on. On others it looks better
            than it is, and a correction would learn to leave it alone.
        span: how many are wished for.

    Raises:
        TrainingError: there are too few.
    """
    rows = min(unseen, span)
    if rows < MIN_HEAD_ROWS:
        raise TrainingError(
            f"{rows} labelled rows to fit a correction on that its base has not been trained on, "
            f"{MIN_HEAD_ROWS} are needed: wait for labels, or retrain"
        )
    return rows


def held_rows(rows: int, window: int) -> int:
    """How many of the newest rows judge a model that takes another one's place: at most a third."""
    return min(HELD_WINDOWS * max(window, MIN_HEAD_ROWS), rows // TRIAL_SHARE)


def holdout_rows(rows: int, window: int, gates: Gates) -> int:
    """How many of the newest rows a first version leaves to its gate.

    The share ``gates.holdout``, at most half a window of ``window`` rows: the newest rows are what
    a candidate would learn most from. Where that is very little, 30 rows, but never more than a
    third of all.
    """
    wanted = min(int(rows * gates.holdout), window // 2)
    return min(max(wanted, _WANTED_ROWS), rows // TRIAL_SHARE)


def _too_few_to_begin(judged: int, rows: int) -> str | None:
    if judged >= MIN_ROWS:
        return None
    return (
        f"{rows} labelled rows are too few to train on and to judge by: wait for "
        f"{TRIAL_SHARE * MIN_ROWS - rows} more"
    )


def _too_few(judged: int) -> str | None:
    if judged >= MIN_ROWS:
        return None
    newer = {
        0: "no labelled row is newer than what the champion has learned from",
        1: "only 1 labelled row is newer than what the champion has learned from",
    }.get(judged, f"only {judged} labelled rows are newer than what the champion has learned from")
    return (
        f"{newer}, and on others the two cannot be compared: wait for {MIN_ROWS - judged} more "
        "labels, then ask again"
    )
