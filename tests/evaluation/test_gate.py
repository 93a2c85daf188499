"""The gate lets better candidates through and keeps noise out, on few rows and on many."""

from __future__ import annotations

import re

import numpy as np
import pytest

from perennial.evaluation.answers import Answers
from perennial.evaluation.decision import GateDecision
from perennial.evaluation.gate import judge
from perennial.evaluation.trivial import trivial_output
from perennial.spec import Gates


def regression(
    n: int,
    mine: float,
    theirs: float | None,
    *,
    seed: int = 0,
    gates: Gates | None = None,
    goes_on: bool = False,
) -> GateDecision:
    """Judge answers with errors of these standard deviations to a target of spread 3."""
    rng = np.random.default_rng(seed)
    y, shared = rng.normal(0, 3, n), rng.normal(0, 1, n)

    def answers(size: float) -> np.ndarray:
        return (y + size * (0.8 * shared + 0.6 * rng.normal(0, 1, n)))[:, None]

    return judge(
        Answers(
            task="regression",
            metric="rmse",
            y=y,
            candidate=answers(mine),
            champion=None if theirs is None else answers(theirs),
            training_y=y,
        ),
        gates or Gates(),
        goes_on=goes_on,
    )


@pytest.mark.parametrize("n", [30, 300, 50_000])
def test_a_clearly_better_candidate_passes(n: int) -> None:
    passed = [regression(n, 1.0, 1.5, seed=seed).passed for seed in range(20)]
    assert sum(passed) >= 17


@pytest.mark.parametrize("n", [30, 300, 50_000])
def test_a_worse_candidate_is_refused(n: int) -> None:
    passed = [regression(n, 1.5, 1.0, seed=seed).passed for seed in range(20)]
    assert sum(passed) <= 1


@pytest.mark.parametrize("n", [30, 300, 5000])
def test_one_that_is_just_as_good_is_mostly_refused(n: int) -> None:
    passed = [regression(n, 1.0, 1.0, seed=seed).passed for seed in range(100)]
    assert 0.05 <= np.mean(passed) <= 0.35


def test_a_margin_lets_one_through_that_is_just_as_good() -> None:
    gates = Gates(margin=0.05)
    passed = [regression(50_000, 1.0, 1.0, seed=seed, gates=gates).passed for seed in range(20)]
    assert sum(passed) >= 18


def test_a_first_version_only_has_to_beat_a_constant_answer() -> None:
    decision = regression(100, 1.0, None)
    assert decision.passed
    refusing = [check.name for check in decision.checks if check.verdict != "noted"]
    assert refusing == ["rows", "finite", "better_than_constant"]


def test_one_that_is_clearly_worse_than_a_constant_is_refused() -> None:
    decision = regression(300, 9.0, None)
    assert not decision.passed
    assert "worse than no model at all" in decision.reason


def test_a_weak_first_version_may_start() -> None:
    assert sum(regression(300, 2.8, None, seed=seed).passed for seed in range(20)) >= 17


def test_a_refusal_names_figure_and_limit() -> None:
    decision = regression(300, 1.5, 1.0)
    failed = [check for check in decision.checks if not check.passed]
    assert [check.name for check in failed] == ["not_worse_than_champion"]
    (check,) = failed
    assert check.figure is not None
    assert check.low is not None
    assert check.high is not None
    assert check.low < check.figure < check.high
    assert "against the champion" in decision.reason


@pytest.mark.parametrize("n", [0, 1, 9])
def test_too_few_rows_are_refused(n: int) -> None:
    decision = regression(n, 1.0, 1.5)
    assert not decision.passed
    assert "10 are needed" in decision.reason


def test_answers_that_are_no_numbers_are_refused() -> None:
    decision = judge(
        Answers(
            task="regression",
            metric="mae",
            y=np.zeros(20),
            candidate=np.full((20, 1), np.nan),
            champion=None,
            training_y=np.zeros(20),
        ),
        Gates(),
    )
    assert decision.reason.startswith("20 answers are not a number: look for")


def classes(n: int, *, seed: int, rare: float = 0.5) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A class, a clue to it, and its true probability by that clue."""
    rng = np.random.default_rng(seed)
    y = (rng.random(n) < rare).astype(int)
    clue = 2 * y - 1 + rng.normal(0, 1.4, n)
    odds = np.exp(2 * clue / 1.4**2) * rare / (1 - rare)
    return y, clue, odds / (1 + odds)


def judge_classes(metric, y, candidate, champion, gates=None) -> GateDecision:
    return judge(
        Answers(
            task="binary",
            metric=metric,
            y=y,
            candidate=candidate[:, None],
            champion=None if champion is None else champion[:, None],
            training_y=y,
        ),
        gates or Gates(margin=0.1),
    )


@pytest.mark.parametrize("metric", ["auc", "log_loss", "accuracy"])
def test_probabilities_are_held_against_the_champions(metric: str) -> None:
    refused = {True: 0, False: 0}
    for seed in range(20):
        y, clue, true = classes(600, seed=seed)
        boast = 1 / (1 + np.exp(-6 * clue))
        for boasts, candidate in ((True, boast), (False, true**1.05)):
            decision = judge_classes(metric, y, candidate, true)
            refused[boasts] += {c.name: c.passed for c in decision.checks}["calibration"] is False
    assert refused[True] >= 19
    assert refused[False] <= 1


def test_one_that_is_no_worse_calibrated_than_a_bad_champion_passes() -> None:
    y, clue, _ = classes(2000, seed=0)
    boast = 1 / (1 + np.exp(-6 * clue))
    decision = judge_classes("auc", y, boast, 1 / (1 + np.exp(-7 * clue)))
    check = next(c for c in decision.checks if c.name == "calibration")
    assert check.passed
    assert "the champion's" in check.detail


@pytest.mark.parametrize("champion", [False, True])
def test_learning_from_classes_alike_is_not_held_against_balanced_accuracy(champion: bool) -> None:
    y, clue, true = classes(3000, seed=1, rare=0.05)
    alike = 1 / (1 + np.exp(-2 * clue / 1.4**2))
    named = {}
    for metric in ("balanced_accuracy", "accuracy"):
        decision = judge_classes(metric, y, alike, true if champion else None)
        named[metric] = next(c.passed for c in decision.checks if c.name == "calibration")
    assert named == {"balanced_accuracy": True, "accuracy": False}
    boast = judge_classes("balanced_accuracy", y, 1 / (1 + np.exp(-6 * clue)), true)
    assert not next(c.passed for c in boast.checks if c.name == "calibration")


def test_a_first_version_is_held_to_an_absolute_error() -> None:
    y, _, true = classes(2000, seed=0)
    assert judge_classes("auc", y, true, None).passed
    off = judge_classes("auc", y, true / 100, None)
    assert "clearly more than the 25.0% allowed" in off.reason
    assert judge_classes("auc", y, true / 100, None, Gates(calibration=None)).passed


def test_a_perfect_champion_is_not_divided_by() -> None:
    zeros = np.zeros((50, 1))
    decision = judge(
        Answers(
            task="regression",
            metric="rmse",
            y=zeros[:, 0],
            candidate=zeros,
            champion=zeros,
            training_y=zeros[:, 0],
        ),
        Gates(),
    )
    assert decision.passed


def test_constant_answers_are_the_best_of_their_kind() -> None:
    y = np.array([0.0, 0.0, 9.0])
    assert trivial_output("regression", "rmse", y, 1) == 3.0
    assert trivial_output("regression", "mae", y, 1) == 0.0
    assert trivial_output("binary", "auc", np.array([0, 1, 1, 1]), 1) == 0.75
    classes = trivial_output("multiclass", "log_loss", np.array([2, 2, 0, 0]), 3)
    assert classes.tolist() == [0.5, 0.0, 0.5]
    assert trivial_output("multiclass", "log_loss", np.zeros(0), 4).tolist() == [0.25] * 4


def test_a_decision_survives_json() -> None:
    decision = regression(100, 1.0, 1.1)
    assert GateDecision.model_validate_json(decision.model_dump_json()) == decision


def in_words(decision: GateDecision) -> str:
    return {check.name: check.detail for check in decision.checks}["not_worse_than_champion"]


def test_a_refusal_says_how_sure_it_is_and_what_helps() -> None:
    worse = in_words(regression(300, 1.5, 1.0))
    assert "against the champion on the same 300 rows (at most +" in worse
    assert worse.endswith("shown to be worse, the champion is the better one on these rows")
    unsure = [in_words(regression(300, 1.0, 1.0, seed=seed)) for seed in range(10)]
    assert any(
        words.endswith(
            "not shown to be no worse; more labels may show it, or gates.margin allow for it"
        )
        for words in unsure
    )


def test_a_trial_that_stands_for_the_champion_is_called_so() -> None:
    y = np.arange(30.0)
    answers = Answers(
        task="regression",
        metric="rmse",
        y=y,
        candidate=y[:, None] + 1,
        champion=y[:, None] + 2,
        training_y=y,
    )
    words = in_words(judge(answers, Gates(), rematch=True))
    assert words.startswith("loss -75.0% against the champion's trial on the same 30 rows (at most")
    assert words.endswith("is allowed); both as they were before they learned these rows")


def test_what_is_asked_of_one_that_goes_on_stands_beside_its_figure() -> None:
    decision = regression(300, 1.0, 1.0, seed=1, goes_on=True)
    assert decision.passed
    assert re.search(
        r"\(at least .* at 95% confidence, \+100.0% is allowed\): whether it is better, its shares "
        "show$",
        in_words(decision),
    )
    worse = regression(300, 2.0, 1.0, goes_on=True)
    assert not worse.passed
    assert in_words(worse).endswith(
        "shown to be worse, the champion is the better one on these rows"
    )


@pytest.mark.parametrize("n", [30, 300, 5000])
def test_one_that_goes_on_is_refused_only_where_it_is_broken(n: int) -> None:
    as_good, worse = (
        [regression(n, mine, 1.0, seed=seed, goes_on=True).passed for seed in range(50)]
        for mine in (1.0, 3.0)
    )
    assert sum(as_good) >= 48
    assert sum(worse) <= 2


def test_one_that_goes_on_from_a_champion_that_is_worse_than_nothing_may_be_so_too() -> None:
    """Its first steps away from it may not be enough yet."""
    step = regression(300, 6.0, 9.0, goes_on=True)
    assert step.passed
    constant = {check.name: check.detail for check in step.checks}["better_than_constant"]
    assert constant.endswith("clearly worse than no model at all, but the champion is worse still")
    for worse in (regression(300, 6.0, 9.0), regression(300, 6.0, 5.5, goes_on=True)):
        assert not worse.passed
        assert "clearly worse than no model at all: see that" in worse.reason


def test_a_declared_margin_that_is_wider_holds_for_one_that_goes_on_too() -> None:
    wide = Gates(margin=1.5)
    assert "+150.0% is allowed" in in_words(regression(300, 1.0, 1.0, gates=wide, goes_on=True))


def test_the_truth_of_one_row_ago_is_one_row() -> None:
    checks = {check.name: check for check in regression(100, 1.0, None).checks}
    assert "the truth of 1 row ago" in checks["last_value"].detail


def test_too_few_rows_alone_say_nothing_against_a_candidate() -> None:
    few = regression(7, 1.0, 1.0)
    assert (few.passed, few.untried) == (False, True)
    assert few.reason == (
        "7 labelled rows to judge by, 10 are needed: wait for 3 more labels, then ask again"
    )
    assert not regression(300, 1.5, 1.0).untried
    assert not regression(300, 1.0, 1.5).untried


def test_one_that_goes_on_is_refused_on_few_rows_where_it_is_many_times_worse() -> None:
    """However wide the interval is."""
    y = np.zeros(30)
    wild = np.where(np.arange(30) < 6, 8.0, 1.0)[:, None]
    answers = Answers(
        task="regression",
        metric="rmse",
        y=y,
        candidate=wild,
        champion=np.ones((30, 1)),
        training_y=y,
    )
    assert not judge(answers, Gates(), goes_on=True).passed
