"""Which rows train, which try heads, and which judge: nobody is judged on what it has learned."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.errors import TrainingError
from perennial.evaluation.division import (
    FEWEST_HEAD_ROWS,
    MIN_HEAD_ROWS,
    MIN_ROWS,
    Unseen,
    divide,
    head_rows,
    head_span,
    held_rows,
    holdout_rows,
)
from perennial.spec import Gates

GATES = Gates()
sizes = st.integers(0, 5000)
windows = st.integers(1, 2000)


def retrain(rows, window, base, champion, trial=None):
    unseen = Unseen(base=base, champion=champion, trial=trial)
    return divide("retrain", rows, window, gates=GATES, unseen=unseen)


@given(sizes, windows, sizes, sizes)
def test_a_retrain_is_judged_on_no_row_that_either_has_learned_from(rows, window, one, other):
    base = min(rows, one)
    champion = min(base, other)
    found = retrain(rows, window, base, champion)
    assert found.judged <= found.held <= base, "the champion's base knows none of them"
    assert found.heads or found.judged <= champion, "nor does its head, where it answers with it"
    assert (found.judged >= MIN_ROWS) == (found.refusal is None)
    assert found.held <= rows / 3, "most rows train"


@given(sizes, windows, st.integers(0, 100), sizes, sizes)
def test_a_kept_trial_stands_for_a_champion_that_knows_the_newest_rows(
    rows, window, base, champion, left_out
):
    base = min(base, rows)
    champion, trial = min(base, champion), min(rows, base + left_out)
    usual = retrain(rows, window, base, champion)
    found = retrain(rows, window, base, champion, trial)
    if usual.refusal is None or min(trial, rows // 3) < MIN_ROWS:
        assert found == usual
        return
    assert (found.rematch, found.heads, found.refusal) == (True, False, None)
    assert found.held == found.judged <= trial, "the trial knows none of them"
    assert found.held <= rows / 3, "most rows train"


@given(st.integers(30, 5000), windows, st.none() | sizes, sizes)
def test_a_head_is_judged_on_no_row_that_the_champion_has_learned_from(base, window, span, newer):
    unseen = Unseen(base=base, champion=min(base, newer))
    wanted = min(base, head_span(window) if span is None else span)
    if wanted < MIN_HEAD_ROWS:
        with pytest.raises(TrainingError, match="wait for labels, or retrain"):
            divide("correct", 9000, window, gates=GATES, unseen=unseen, span=span)
        return
    found = divide("correct", 9000, window, gates=GATES, unseen=unseen, span=span)
    assert found.held == wanted <= base
    assert found.judged <= min(unseen.champion, found.held / 3)
    assert (found.judged >= MIN_ROWS) == (found.refusal is None)


def test_a_second_retrain_on_the_same_rows_is_judged_by_those_that_the_first_left_out():
    first = divide("retrain", 17_379, 278, gates=GATES, unseen=None)
    assert (first.held, first.judged, first.heads) == (139, 139, False)
    second = retrain(17_379, 278, first.held, first.held)
    assert (second.held, second.judged, second.heads) == (139, 69, True)


def test_with_many_new_rows_two_windows_are_left_out():
    found = retrain(17_379, 278, 2000, 0)
    assert (found.held, found.judged, found.heads) == (556, 278, True)


def test_with_few_new_rows_both_are_judged_as_they_stand_on_all_of_them():
    found = retrain(1000, 100, 45, 45)
    assert (found.held, found.judged, found.heads, found.refusal) == (45, 45, False, None)
    headed = retrain(1000, 100, 45, 12)
    assert (headed.judged, headed.heads) == (12, False)


@pytest.mark.parametrize(
    ("newer", "words"),
    [
        (0, "no labelled row is newer than what the champion has learned from"),
        (1, "only 1 labelled row is newer"),
        (7, "only 7 labelled rows are newer"),
    ],
)
@pytest.mark.parametrize(
    ("depth", "trial"), [("retrain", None), ("recalibrate", 90), ("unhead", 90)]
)
def test_where_nothing_is_newer_nothing_is_judged_and_what_helps_is_said(
    depth, trial, newer, words
):
    unseen = Unseen(base=40, champion=newer, trial=trial)
    found = divide(depth, 1000, 100, gates=GATES, unseen=unseen)
    assert found.refusal is not None
    assert found.refusal.startswith(words)
    assert f"wait for {10 - newer} more labels" in found.refusal


def test_a_first_version_of_too_few_rows_says_how_many_more():
    assert divide("retrain", 29, 100, gates=GATES, unseen=None).refusal == (
        "29 labelled rows are too few to train on and to judge by: wait for 1 more"
    )
    assert divide("retrain", 30, 100, gates=GATES, unseen=None).refusal is None


def test_short_windows_are_taken_together():
    assert head_span(5) == FEWEST_HEAD_ROWS
    assert head_span(1000) == 5000
    assert head_rows(9000, 5, None) == FEWEST_HEAD_ROWS
    assert held_rows(300, 5) == 2 * MIN_HEAD_ROWS
    assert held_rows(30_000, 1000) == 2000
    assert (
        divide("correct", 900, 5, gates=GATES, unseen=Unseen(base=300, champion=300)).judged
        == MIN_ROWS
    )


def test_the_holdout_of_a_first_version_is_a_share_within_bounds():
    gates = Gates(holdout=0.1)
    assert holdout_rows(3000, 1000, gates) == 300
    assert holdout_rows(100_000, 500, gates) == 250
    assert holdout_rows(200, 50, gates) == 30
    assert holdout_rows(60, 20, gates) == 20
