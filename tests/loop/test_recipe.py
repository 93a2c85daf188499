"""The rows of a candidate: who learns from which, before and after it was made."""

from __future__ import annotations

import pytest

from perennial.errors import TrainingError
from perennial.evaluation.division import Division
from perennial.loop.recipe import Learned, RowSplit, check_healable, choose_rows, divide_rows
from perennial.registry import Recipe
from tests.loop.making import Pipeline, joined, spec, stream


def numbers(frame):
    return [] if frame.empty else [frame.index[0], frame.index[-1]]


def told(rows):
    return [
        numbers(part)
        for part in (rows.all, rows.before_held, rows.held_rows, rows.to_try, rows.to_judge)
    ]


def test_the_rows_lie_one_behind_the_other():
    rows = RowSplit(stream(100), first=10, held=30, judged=20)
    assert told(rows) == [[10, 99], [10, 69], [70, 99], [70, 79], [80, 99]]
    assert numbers(rows.before_judged) == [20, 79]


@pytest.mark.parametrize(
    ("recipe", "expected"),
    [
        (
            Recipe(trained_rows=90, trial_rows=60, judged_rows=20),
            [[10, 99], [10, 79], [80, 99], [], [80, 99]],
        ),
        (
            Recipe(trained_rows=60, head_rows=30, trial_rows=60, judged_rows=20),
            [[10, 99], [10, 69], [70, 99], [70, 79], [80, 99]],
        ),
        (
            Recipe(trained_rows=50, trial_rows=40, judged_rows=10, shares={"correct": 1.0}),
            [[50, 99], [50, 89], [90, 99], [], [90, 99]],
        ),
    ],
    ids=["made of all", "with heads of its own", "a head"],
)
def test_a_recipe_tells_them_again(recipe, expected):
    assert told(RowSplit.of(stream(100), recipe)) == expected


def test_without_a_champion_the_newest_rows_are_held_for_the_gate_alone():
    division = divide_rows(stream(300), spec(), "retrain", None)
    assert (division.held, division.judged, division.heads, division.unseen) == (30, 30, False, 0)


def test_rows_count_as_unseen_from_the_last_that_the_champion_knows():
    frame = stream(600)
    learned = Learned(base=frame.iloc[:400], champion=frame.iloc[:590])
    division = divide_rows(frame, spec(), "retrain", learned)
    assert (division.held, division.judged, division.unseen) == (80, 40, 200)
    head = divide_rows(frame, spec(), "correct", learned)
    assert (head.held, head.judged, head.refusal) == (200, 10, None)


def test_rows_that_the_kept_trial_does_not_know_judge_where_hardly_any_are_newer():
    pipeline = Pipeline()
    pipeline.renew(stream(300))
    frame = joined(stream(300), stream(4, seed=1))
    learned = Learned.of(pipeline.champion, pipeline.snapshots)
    assert numbers(learned.base) == [0, 299]
    assert numbers(learned.trial) == [0, 269]
    division = divide_rows(frame, pipeline.spec, "retrain", learned)
    assert (division.held, division.judged, division.heads) == (34, 34, False)
    assert (division.rematch, division.refusal) == (True, None)
    more = divide_rows(joined(frame, stream(6, seed=2)), pipeline.spec, "retrain", learned)
    assert (more.judged, more.rematch) == (10, False)


def test_what_a_heal_changes_must_be_there():
    pipeline = Pipeline()
    check_healable(None, "p", "retrain")
    with pytest.raises(TrainingError, match="no champion yet"):
        check_healable(None, "p", "correct")
    pipeline.renew(stream(200))
    check_healable(pipeline.champion, "p", "correct")
    with pytest.raises(TrainingError, match="no correction to take off"):
        check_healable(pipeline.champion, "p", "unhead")


def test_after_a_turn_the_newer_rows_are_chosen():
    pipeline = Pipeline()
    pipeline.renew(stream(400))
    frame = joined(stream(400), stream(600, slope=-3.0, seed=1))
    learned = Learned.of(pipeline.champion, pipeline.snapshots)
    division = divide_rows(frame, pipeline.spec, "retrain", learned)
    choice = choose_rows(frame, pipeline.spec, division, pipeline.champion)
    assert len(choice.tried) > 1
    assert choice.span.rows <= 600
    few = Division(held=20, judged=20, heads=False, unseen=20)
    assert choose_rows(frame, pipeline.spec, few, pipeline.champion).span.rows == 980
