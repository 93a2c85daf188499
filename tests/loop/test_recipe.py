"""The rows of a candidate: who learns from which, what is refitted, and what begins anew."""

from __future__ import annotations

import pytest

from perennial.errors import TrainingError
from perennial.loop.recipe import (
    ALL_EVERY,
    Learned,
    RowSplit,
    begins_anew,
    check_healable,
    divide_rows,
    due_bases,
)
from tests.loop.making import Pipeline, joined, spec, stream

OLD = stream(300)


@pytest.fixture(scope="module")
def begun():
    """A pipeline with its first version, which nobody changes."""
    pipeline = Pipeline()
    pipeline.renew(OLD)
    return pipeline


def numbers(frame):
    return [] if frame.empty else [frame.index[0], frame.index[-1]]


def told(rows):
    return [
        numbers(part) for part in (rows.before_judged, rows.to_heal, rows.to_try, rows.to_judge)
    ]


@pytest.mark.parametrize(
    ("heads", "judged", "expected"),
    [
        (30, 20, [[0, 79], [70, 99], [70, 79], [80, 99]]),
        (0, 20, [[0, 79], [], [], [80, 99]]),
        (10, 20, [[0, 79], [90, 99], [], [80, 99]]),
    ],
    ids=["with small models", "without", "of fewer rows than judge"],
)
def test_the_rows_lie_one_behind_the_other(heads, judged, expected):
    assert told(RowSplit(stream(100), heads, judged)) == expected


def test_without_a_champion_the_newest_rows_are_held_for_the_gate_alone():
    division = divide_rows(OLD, spec(), "retrain", None, None)
    assert (division.judged, division.heads, division.anew) == (30, 0, True)


def test_rows_count_as_unseen_from_the_last_that_the_champion_knows(begun):
    frame = stream(600)
    learned = Learned(base=frame.iloc[:400], champion=frame.iloc[:590])
    division = divide_rows(frame, begun.spec, "retrain", begun.champion, learned)
    assert (division.judged, division.heads, division.anew) == (10, 200, False)
    head = divide_rows(frame, begun.spec, "correct", begun.champion, learned)
    assert (head.heads, head.judged, head.refusal) == (200, 10, None)


def test_more_windows_are_taken_where_labels_are_late_and_as_many_rows_as_are_asked_for(begun):
    frame = stream(900)
    learned = Learned(base=frame.iloc[:300], champion=frame.iloc[:300])

    def heads(**more):
        return divide_rows(frame, begun.spec, "correct", begun.champion, learned, **more).heads

    assert [heads(), heads(late=3), heads(late=50)] == [200, 320, 480]
    assert heads(late=3, span=70) == 70


def test_rows_that_the_kept_trial_does_not_know_judge_where_hardly_any_are_newer(begun):
    frame = joined(OLD, stream(4, seed=1))
    learned = Learned.of(begun.champion, begun.snapshots)
    assert numbers(learned.base) == [0, 299]
    assert numbers(learned.trial) == [0, 269]
    changed = spec(model={"estimators": ["linear"]})
    division = divide_rows(frame, changed, "retrain", begun.champion, learned)
    assert (division.judged, division.heads, division.anew) == (34, 0, True)
    assert (division.rematch, division.refusal) == (True, None)
    checked = divide_rows(frame, changed, "retrain", begun.champion, learned, asked_by_hand=False)
    assert checked.refusal is not None, "a check has nothing new to learn"
    more = joined(frame, stream(6, seed=2))
    usual = divide_rows(more, changed, "retrain", begun.champion, learned)
    assert (usual.judged, usual.rematch) == (10, False)


@pytest.mark.parametrize(
    "changed",
    [
        spec(model={"estimators": ["linear"]}),
        spec(model={"estimators": ["hist_gradient_boosting"], "seed": 7}),
        spec(metric="mae"),
        spec(ignore=["c"]),
        spec(ignore=["note"]),
    ],
    ids=["another family", "another seed", "another metric", "a column less", "other context"],
)
def test_a_retrain_begins_anew_where_what_is_declared_of_the_model_has_changed(begun, changed):
    assert not begins_anew(OLD, begun.spec, begun.champion)
    assert begins_anew(OLD, changed, begun.champion)
    learned = Learned.of(begun.champion, begun.snapshots)
    frame = joined(OLD, stream(80, seed=1))
    division = divide_rows(frame, changed, "retrain", begun.champion, learned)
    assert (division.anew, division.heads) == (True, 0)
    correct = divide_rows(frame, changed, "correct", begun.champion, learned)
    assert not correct.anew, "small models go on with what stands"


def test_a_retrain_goes_on_where_something_else_was_declared(begun):
    other = spec(monitor={"window": "60 rows"}, policy={"retrain_wait": 9}, gates={"margin": 0.1})
    assert not begins_anew(OLD, other, begun.champion)


def test_a_retrain_begins_anew_with_another_column_or_another_kind_of_it(begun):
    assert begins_anew(OLD.assign(z=1.0), begun.spec, begun.champion)
    assert begins_anew(OLD.assign(c=1.0), begun.spec, begun.champion)
    assert not begins_anew(OLD.assign(c="new"), begun.spec, begun.champion)


def test_a_retrain_begins_anew_where_there_is_a_class_that_the_champion_does_not_know():
    rows = OLD.assign(y=(OLD["y"] > 0).map({True: "up", False: "down"}))
    pipeline = Pipeline(spec(task="multiclass"))
    pipeline.renew(rows)
    assert not begins_anew(rows, pipeline.spec, pipeline.champion)
    new = rows.assign(y=rows["y"].where(rows.index < 290, "new"))
    assert begins_anew(new, pipeline.spec, pipeline.champion)


def test_what_a_heal_changes_must_be_there(begun):
    check_healable(None, "p", "retrain")
    with pytest.raises(TrainingError, match="no champion yet"):
        check_healable(None, "p", "correct")
    check_healable(begun.champion, "p", "correct")


def test_the_model_of_recent_rows_is_due_at_every_retrain(begun):
    """On as many rows as the first version had."""
    assert due_bases(stream(310), begun.spec, begun.champion) == {"recent": 300}
    assert due_bases(stream(200), begun.spec, begun.champion) == {"recent": 200}


def test_the_model_of_all_rows_is_due_at_every_second_retrain(begun):
    pipeline = Pipeline(store=begun.store, snapshots=begun.snapshots)
    wait = (ALL_EVERY * (1 + pipeline.spec.policy.retrain_wait) - 1) * 40
    assert wait == 360
    few, enough = stream(300 + wait - 1), stream(300 + wait)
    assert "all" not in due_bases(few, pipeline.spec, pipeline.champion)
    assert due_bases(enough, pipeline.spec, pipeline.champion) == {"recent": 300, "all": 660}
    soon = spec(policy={"retrain_wait": 0})
    assert due_bases(stream(340), soon, pipeline.champion) == {"recent": 300, "all": 340}


def test_once_there_is_a_model_of_all_rows_its_own_rows_count():
    pipeline = Pipeline(spec(policy={"retrain_wait": 0}))
    pipeline.renew(OLD)
    pipeline.renew(joined(OLD, stream(100, seed=1)))
    made = pipeline.champion.version.lineage.recipe.bases
    assert made == {"recent": 300, "all": 370}
    assert "all" not in due_bases(stream(409), pipeline.spec, pipeline.champion)
    assert due_bases(stream(410), pipeline.spec, pipeline.champion)["all"] == 410
