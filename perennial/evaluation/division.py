"""Which of the labelled rows train a candidate, which its heads are tried on, and which judge it.

The rule that everything else follows from: candidate and champion are compared only on rows that
neither has learned from. The trial of a new base leaves the newest rows out, and of these only such
count as the champion's base does not know either; a head is held against the champion as it
answers, so on rows that neither its base nor its head knows. On rows that it has learned from, a
model always looks better than it is. What passes is then made again with all rows: a model that
serves should know what is known. So where rows have hardly come since, a new base is held against
the champion's as it was before that: its trial, which does not know the newest rows either. Where
there is none, or a head is asked for, nothing is judged.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from perennial.errors import TrainingError
from perennial.spec import Cure, Gates

MIN_ROWS = 10
"""With fewer rows nothing is judged."""
_WANTED_ROWS = 30
HEAD_WINDOWS = 5
"""A head is fitted on no more than so many windows of the newest rows, unless they are short."""
TRIAL_SHARE = 3
"""Of the rows that a model learns from, one part in so many is the most that is left out to judge
by."""
MIN_HEAD_ROWS = TRIAL_SHARE * MIN_ROWS
FEWEST_HEAD_ROWS = 5 * MIN_HEAD_ROWS
"""Short windows are taken together until they hold so many rows, or there are no more."""
HELD_WINDOWS = 2
"""Newest windows that a retrain leaves out: on the first a head is fitted, on the second both are
judged, and then the head is fitted on both, or the base on all. Short ones are taken together here
too."""


class Unseen(BaseModel):
    """How many of the newest labelled rows a champion has not learned from."""

    model_config = ConfigDict(frozen=True)

    base: int
    """That its base does not know."""
    champion: int
    """That neither its base nor its head knows: as many, or fewer."""
    trial: int | None = None
    """That the trial of its base does not know: as many as its base, or more; None: it was not
    kept."""


class Division(BaseModel):
    """What becomes of the labelled rows, counted from the newest on."""

    model_config = ConfigDict(frozen=True)

    held: int
    """Newest rows that the trial of a new base does not learn from; of a head: all that it is
    fitted on."""
    judged: int
    """Newest of these, which judge: no trial learns from them."""
    heads: bool
    """Whether heads are fitted on the held rows. They are tried on those judged, each on its base,
    so it is bases that must not know the held rows, and a head that a champion has is left aside.
    Else the champion is judged as it answers."""
    unseen: int = 0
    """Newest rows that the champion's base has not learned from; without a champion 0."""
    rematch: bool = False
    """Whether the champion's trial stands for it: both are judged as they were before they learned
    the newest rows."""
    refusal: str | None = None
    """Why nothing can be judged, and what helps; None: it can."""


def divide(
    depth: Cure,
    rows: int,
    window: int,
    *,
    gates: Gates,
    unseen: Unseen | None,
    span: int | None = None,
) -> Division:
    """Divide the labelled rows of a snapshot.

    Args:
        depth: of the heal.
        rows: labelled rows there are, in time order.
        window: rows that are judged together.
        unseen: what the champion has not learned from; None: there is none, a first version is made
            and judged by itself.
        span: newest rows that are wished for to fit a head on; None: a few windows.

    Raises:
        TrainingError: too few rows to fit a head on.
    """
    if unseen is None:
        held = holdout_rows(rows, window, gates)
        return Division(held=held, judged=held, heads=False, refusal=_too_few_to_begin(held, rows))
    if depth != "retrain":
        fitted = head_rows(unseen.base, window, span)
        judged = min(max(window, MIN_ROWS), fitted // TRIAL_SHARE, unseen.champion)
        return _divided(unseen, fitted, judged, heads=True)
    held = min(held_rows(rows, window), unseen.base)
    judged = held // 2
    if judged >= MIN_HEAD_ROWS:
        return _divided(unseen, held, judged, heads=True)
    # Too few for heads: both models are judged as they stand, on all that neither knows.
    judged = min(held, unseen.champion)
    again = min(unseen.trial or 0, rows // TRIAL_SHARE)
    if judged < MIN_ROWS <= again:
        return Division(held=again, judged=again, heads=False, unseen=unseen.base, rematch=True)
    return _divided(unseen, judged, judged, heads=False)


def _divided(unseen: Unseen, held: int, judged: int, *, heads: bool) -> Division:
    return Division(
        held=held, judged=judged, heads=heads, unseen=unseen.base, refusal=_too_few(judged)
    )


def head_span(window: int) -> int:
    """How many of the newest rows a head is fitted on, where there are so many.

    Args:
        window: rows that are judged together.
    """
    return max(HEAD_WINDOWS * window, FEWEST_HEAD_ROWS)


def head_rows(unseen: int, window: int, span: int | None) -> int:
    """How many of the newest rows to fit a head on: ``span``, or a few windows.

    Args:
        unseen: the newest rows that the base has not been trained on. On others it looks better
            than it is, and a head would learn to leave it alone.
        window: rows that are judged together.
        span: how many are wished for.

    Raises:
        TrainingError: there are too few.
    """
    rows = min(unseen, head_span(window) if span is None else span)
    if rows < MIN_HEAD_ROWS:
        raise TrainingError(
            f"{rows} labelled rows to fit a head on that its base has not been trained on, "
            f"{MIN_HEAD_ROWS} are needed: wait for labels, or retrain"
        )
    return rows


def held_rows(rows: int, window: int) -> int:
    """How many of the newest rows a retrain leaves to its head and its gate: at most a third."""
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
