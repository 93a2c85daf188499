"""Which rows train, which fit small models, and which judge: nobody is judged on what it knows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.errors import TrainingError
from perennial.evaluation.division import (
    FEWEST_HEAD_ROWS,
    HEAD_WINDOWS,
    MIN_HEAD_ROWS,
    MIN_ROWS,
    MOST_HEAD_ROWS,
    MOST_HEAD_WINDOWS,
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


def of(depth, rows, window, base, champion, *, trial=None, anew=False, span=None):
    return divide(
        depth,
        rows,
        window,
        gates=GATES,
        unseen=Unseen(base=base, champion=champion, trial=trial),
        anew=anew,
        span=head_span(window) if span is None else span,
    )


def first(rows, window):
    """A first version."""
    return divide("retrain", rows, window, gates=GATES, unseen=None, span=head_span(window))


@given(sizes, windows, sizes, sizes, st.booleans())
def test_a_retrain_is_judged_on_no_row_that_either_has_learned_from(rows, window, one, other, anew):
    base = min(rows, one)
    champion = min(base, other)
    found = of("retrain", rows, window, base, champion, anew=anew)
    assert found.anew == anew
    assert found.judged <= champion, "no model of the champion knows them"
    assert found.judged <= rows / 3, "most rows train"
    assert (found.judged >= MIN_ROWS) == (found.refusal is None)
    if anew:
        assert found.heads == 0, "its small models come once it answers"
    else:
        assert found.heads <= base, "its first model knows none of them"
        assert (found.heads >= MIN_HEAD_ROWS) == (base >= MIN_HEAD_ROWS)


@given(sizes, windows, st.integers(0, 100), sizes, sizes)
def test_a_kept_trial_stands_for_a_champion_that_knows_the_newest_rows(
    rows, window, base, champion, left_out
):
    base = min(base, rows)
    champion, trial = min(base, champion), min(rows, base + left_out)
    usual = of("retrain", rows, window, base, champion, anew=True)
    found = of("retrain", rows, window, base, champion, trial=trial, anew=True)
    if usual.refusal is None or min(trial, rows // 3) < MIN_ROWS:
        assert found == usual
        return
    assert (found.rematch, found.anew, found.heads, found.refusal) == (True, True, 0, None)
    assert found.judged <= trial, "the trial knows none of them"
    assert found.judged <= rows / 3, "most rows train"


@given(sizes, windows, st.integers(0, 100), sizes, sizes)
def test_a_retrain_that_goes_on_with_the_mixture_is_no_rematch(rows, window, base, champion, more):
    base = min(base, rows)
    champion = min(base, champion)
    trial = min(rows, base + more)
    assert of("retrain", rows, window, base, champion, trial=trial) == of(
        "retrain", rows, window, base, champion
    )


@given(st.integers(30, 5000), windows, st.none() | sizes, sizes)
def test_a_correction_is_judged_on_no_row_that_the_champion_has_learned_from(
    base, window, span, newer
):
    champion = min(base, newer)
    wanted = min(base, head_span(window) if span is None else span)
    if wanted < MIN_HEAD_ROWS:
        with pytest.raises(TrainingError, match="wait for labels, or retrain"):
            of("correct", 9000, window, base, champion, span=span)
        return
    found = of("correct", 9000, window, base, champion, span=span)
    assert (found.heads, found.anew, found.rematch) == (wanted, False, False)
    assert found.judged <= min(champion, wanted / 3)
    assert (found.judged >= MIN_ROWS) == (found.refusal is None)


def test_a_refitted_model_leaves_a_quarter_of_a_window_to_its_gate():
    found = of("retrain", 17_379, 278, 2000, 2000)
    assert (found.judged, found.heads) == (69, 5 * 278)
    short = of("retrain", 17_379, 40, 2000, 2000)
    assert short.judged == 30, "but 30 rows at least"
    assert of("retrain", 60, 40, 60, 60).judged == 20, "a third of all at most"
    assert of("retrain", 17_379, 278, 2000, 12).judged == 12, "and none that the champion knows"


def test_a_model_that_begins_a_mixture_in_anothers_place_leaves_two_windows():
    found = of("retrain", 17_379, 278, 2000, 2000, anew=True)
    assert (found.judged, found.heads, found.anew) == (556, 0, True)
    few = of("retrain", 1000, 100, 45, 45, anew=True)
    assert (few.judged, few.refusal) == (45, None)


def test_with_too_few_rows_for_small_models_a_retrain_has_none():
    found = of("retrain", 1000, 100, MIN_HEAD_ROWS - 1, 20)
    assert (found.heads, found.judged, found.refusal) == (0, 20, None)
    with pytest.raises(TrainingError, match="29 labelled rows to fit a correction on"):
        of("correct", 1000, 100, MIN_HEAD_ROWS - 1, 20)


@pytest.mark.parametrize(
    ("newer", "words"),
    [
        (0, "no labelled row is newer than what the champion has learned from"),
        (1, "only 1 labelled row is newer"),
        (7, "only 7 labelled rows are newer"),
    ],
)
@pytest.mark.parametrize(
    ("depth", "trial", "anew"),
    [("retrain", None, True), ("retrain", 90, False), ("correct", 90, False)],
)
def test_where_nothing_is_newer_nothing_is_judged_and_what_helps_is_said(
    depth, trial, anew, newer, words
):
    found = of(depth, 1000, 100, 40, newer, trial=trial, anew=anew)
    assert found.refusal is not None
    assert found.refusal.startswith(words)
    assert f"wait for {10 - newer} more labels" in found.refusal


def test_a_first_version_begins_a_mixture_and_says_how_many_rows_it_lacks():
    assert first(29, 100).refusal == (
        "29 labelled rows are too few to train on and to judge by: wait for 1 more"
    )
    found = first(17_379, 278)
    assert (found.judged, found.heads, found.anew, found.refusal) == (139, 0, True, None)
    assert first(30, 100).refusal is None


def test_short_windows_are_taken_together():
    assert head_span(5) == FEWEST_HEAD_ROWS
    assert head_span(1000) == HEAD_WINDOWS * 1000
    assert head_rows(9000, head_span(5)) == FEWEST_HEAD_ROWS
    assert held_rows(300, 5) == 2 * MIN_HEAD_ROWS
    assert held_rows(30_000, 1000) == 2000
    assert of("correct", 900, 5, 300, 300).judged == MIN_ROWS


def test_the_later_labels_are_the_more_windows_small_models_learn_from():
    assert [head_span(100, late) for late in (0, 1, 3)] == [500, 600, 800]
    assert head_span(100, 50) == MOST_HEAD_WINDOWS * 100


def test_of_long_windows_fewer_are_taken_and_one_at_least():
    assert head_span(MOST_HEAD_ROWS // 3) == MOST_HEAD_ROWS
    assert head_span(50_000, 4) == 50_000


def test_the_holdout_of_a_first_version_is_a_share_within_bounds():
    gates = Gates(holdout=0.1)
    assert holdout_rows(3000, 1000, gates) == 300
    assert holdout_rows(100_000, 500, gates) == 250
    assert holdout_rows(200, 50, gates) == 30
    assert holdout_rows(60, 20, gates) == 20
