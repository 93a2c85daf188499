"""Members get the share that they have earned by what they answered live."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.evaluation.mixing import (
    BASES,
    HEADS,
    LEAST_SHARE,
    MEMBERS,
    MemberErrors,
    Mixture,
    expected_gain,
    measure_errors,
    weigh,
)

IDLE = len(MEMBERS)


def window(
    sizes: dict[str, float],
    seed: int = 0,
    *,
    late: int = 1,
    rows: int = 200,
    common: float = 0.9,
) -> MemberErrors:
    """Members whose errors have these sizes, apart from each other but for a common part."""
    rng = np.random.default_rng(seed)
    y, shared = rng.normal(0, 3, rows), rng.normal(size=rows)
    answers: Any = {
        name: (y + size * (common * shared + (1 - common**2) ** 0.5 * rng.normal(size=rows)))[
            :, None
        ]
        for name, size in sizes.items()
    }
    return errors_of("regression", y, answers, late=late)


def errors_of(
    task: Any, y: Any, answers: Any, metric: Any = None, *, late: int = 1
) -> MemberErrors:
    """What these answers get wrong, where the first member's was served."""
    return MemberErrors(
        window="w",
        rows=len(y),
        late=late,
        first="0001-a",
        members=tuple(answers),
        products=measure_errors(task, y, answers, answers["first"], metric),
    )


def equal(**sizes: float) -> dict[str, float]:
    """All members err alike but for those given."""
    return {**dict.fromkeys(MEMBERS, 1.0), **sizes}


def alike(**sizes: float) -> MemberErrors:
    """A window whose errors all point one way: mixing takes nothing away."""
    y = np.zeros(100)
    answers = {name: np.full((100, 1), size) for name, size in sizes.items()}
    return errors_of("regression", y, answers)


def test_the_members_are_the_trained_ones_and_then_the_small_ones() -> None:
    assert (*BASES, *HEADS) == MEMBERS
    assert tuple(Mixture.model_fields) == MEMBERS
    assert Mixture(first=0.25, renew=0.75).shares.tolist() == [0.25, 0, 0, 0, 0.75, 0]
    assert Mixture.of(Mixture(all=0.5, correct=0.5).shares) == Mixture(all=0.5, correct=0.5)


def test_without_evidence_all_members_count_alike() -> None:
    assert weigh([]) == Mixture.equal()
    assert sum(Mixture.equal().shares) == pytest.approx(1)
    assert len(set(Mixture.equal().shares)) == 1


def test_without_evidence_a_bound_of_harm_leaves_the_first_alone() -> None:
    assert weigh([], harm=0.01) == Mixture.alone() == Mixture(first=1.0)


def test_members_that_have_answered_alike_count_alike() -> None:
    same = alike(**dict.fromkeys(MEMBERS, 1.0))
    assert weigh([same] * 5).shares == pytest.approx(Mixture.equal().shares)
    right = alike(**dict.fromkeys(MEMBERS, 0.0))
    assert weigh([right] * 5).shares == pytest.approx(Mixture.equal().shares)


def test_shares_go_to_those_that_have_been_better() -> None:
    shares = weigh([window(equal(recent=0.5, renew=2.0), seed) for seed in range(10)])
    assert shares.recent > Mixture.equal().recent > shares.renew
    assert shares.recent > 2 * max(shares.first, shares.all, shares.correct)


def test_one_that_is_right_gets_most_of_the_answer_after_many_windows() -> None:
    sizes = equal(correct=0.1)
    few, many = (weigh([window(sizes, s, late=0) for s in range(n)]) for n in (1, 30))
    assert 1 / IDLE < few.correct < many.correct
    assert many.correct > 0.5


def test_newer_windows_weigh_more() -> None:
    good, bad = ([window(equal(recent=size), seed) for seed in range(8)] for size in (0.5, 2.0))
    assert weigh([*bad, *good]).recent > weigh([*good, *bad]).recent


def test_the_later_labels_are_the_closer_shares_stay_to_equal_ones() -> None:
    found = [
        weigh([window(equal(recent=0.3), seed, late=late) for seed in range(6)])
        for late in (0, 1, 4, 20)
    ]
    shares = [mixture.recent for mixture in found]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > 2 * shares[-1]
    assert shares[-1] > 1 / IDLE


def test_two_that_err_apart_are_better_than_either() -> None:
    sizes = {"first": 3.0, "recent": 1.0, "all": 1.0, "recalibrate": 3.0, "renew": 3.0}
    sizes["correct"] = 3.0
    record = [window(sizes, seed, rows=1000, common=0.0) for seed in range(20)]
    mixture = weigh(record)
    assert mixture.recent == pytest.approx(mixture.all, abs=0.05)
    assert min(mixture.recent, mixture.all) > 2 * mixture.first
    assert expected_gain(record, mixture, Mixture(recent=1.0)) > 0.2


def test_one_that_errs_much_and_in_the_same_way_takes_no_part() -> None:
    sizes = equal(renew=8.0)
    mixture = weigh([window(sizes, seed) for seed in range(10)])
    assert mixture.renew == 0
    assert "renew" not in mixture.parts


@given(
    st.lists(
        st.lists(st.floats(0, 1e6), min_size=len(MEMBERS), max_size=len(MEMBERS)),
        min_size=1,
        max_size=12,
    ),
    st.integers(0, 12),
    st.none() | st.floats(0.001, 0.5),
)
def test_shares_are_a_convex_mixture_without_crumbs(
    sizes: list[list[float]], late: int, harm: float | None
) -> None:
    record = [
        window(dict(zip(MEMBERS, one, strict=True)), seed, rows=20, late=late)
        for seed, one in enumerate(sizes)
    ]
    shares = weigh(record, harm).shares
    assert shares.sum() == pytest.approx(1)
    assert ((shares == 0) | (shares >= LEAST_SHARE)).all()


@pytest.mark.parametrize("unit", [1e-6, 1e6])
def test_shares_do_not_depend_on_the_unit_of_the_target(unit: float) -> None:
    one = [window(equal(recent=0.5, renew=2.0), seed) for seed in range(5)]
    scaled = [
        errors.model_copy(
            update={"products": tuple(tuple(p * unit**2 for p in r) for r in errors.products)}
        )
        for errors in one
    ]
    assert weigh(scaled).shares == pytest.approx(weigh(one).shares, abs=1e-6)


def test_a_member_without_a_model_has_answered_as_the_first() -> None:
    errors = window({"first": 2.0, "recent": 1.0, "renew": 3.0})
    at = [errors.members.index(name) if name in errors.members else 0 for name in MEMBERS]
    assert at == [0, 1, 0, 0, 2, 0]
    expected = np.array(errors.products)[np.ix_(at, at)]
    np.testing.assert_array_equal(errors.whole, expected)


def test_a_new_member_has_a_share_before_it_has_shown_anything() -> None:
    known = {"first": 1.0, "recalibrate": 1.0, "renew": 1.0, "correct": 1.0}
    mixture = weigh([window(known, seed) for seed in range(3)])
    assert mixture.recent >= LEAST_SHARE
    assert mixture.recent == pytest.approx(mixture.all) == pytest.approx(mixture.first)


def test_shares_of_members_without_a_model_go_to_the_first() -> None:
    mixture = Mixture(first=0.1, recent=0.2, all=0.3, correct=0.4)
    assert mixture.among(["first", "correct"]).parts == pytest.approx(
        {"first": 0.6, "correct": 0.4}
    )
    assert mixture.among(MEMBERS) == mixture
    assert Mixture(correct=1.0).among(["first"]) == Mixture.alone()


def test_what_is_expected_is_what_the_same_rows_show() -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(size=500)
    answers = {name: y[:, None] + rng.normal(0, 1, (500, 1)) for name in MEMBERS}
    mixture, standing = Mixture(recent=0.4, correct=0.6), Mixture(first=0.5, all=0.5)

    def loss(shares: Mixture) -> float:
        answer = sum(share * answers[name] for name, share in shares.parts.items())
        return float(((answer - y[:, None]) ** 2).mean())

    record = [errors_of("regression", y, answers)]
    expected = 1 - loss(mixture) / loss(standing)
    assert expected_gain(record, mixture, standing) == pytest.approx(expected, abs=1e-9)
    assert expected_gain(record, standing, standing) == 0
    assert expected_gain([], mixture, standing) == 0


def test_nothing_is_gained_where_nothing_is_lost() -> None:
    assert expected_gain([alike(first=0.0, recent=1.0)], Mixture(recent=1), Mixture.alone()) == 0


def test_classes_are_compared_by_probabilities() -> None:
    uniform = np.full((30, 3), 1 / 3)
    y = np.arange(30) % 3
    answers = {**dict.fromkeys(MEMBERS, uniform), "correct": np.eye(3)[y]}
    record = [errors_of("multiclass", y, answers, late=0)]
    assert record[0].whole[0, 0] == pytest.approx(2 / 3), "of each row (2/3)**2 + 2 (1/3)**2"
    assert record[0].whole[-1, -1] == 0
    assert weigh(record * 20).correct > 0.7


def test_a_chance_of_the_second_class_is_held_against_it() -> None:
    y = np.array([0, 1, 1, 1])
    errors = errors_of("binary", y, {"first": np.full((4, 1), 0.5), "recent": y[:, None] * 1.0})
    assert errors.whole[0, 0] == pytest.approx(0.25)
    assert errors.whole[1, 1] == 0


def test_a_wild_row_does_not_sway_what_is_judged_by_absolute_errors() -> None:
    rng = np.random.default_rng(0)
    y, none = rng.normal(size=200), np.zeros((200, 1))
    answers = {**dict.fromkeys(MEMBERS, none), "correct": 0.8 * y[:, None]}
    y[7] = -1e6 * np.sign(y[7])
    squares, absolute = (
        weigh([errors_of("regression", y, answers, metric, late=0)] * 20)
        for metric in ("rmse", "mae")
    )
    assert squares.correct == pytest.approx(0, abs=1 / IDLE)
    assert absolute.correct > 0.5


def test_squares_stand_for_absolute_errors_where_the_answer_stands() -> None:
    """Half the mean absolute error of the rows above the median, where the answer is served."""
    rng = np.random.default_rng(1)
    y, served = rng.normal(size=300), rng.normal(size=(300, 1))
    apart = np.abs(served[:, 0] - y)
    products = measure_errors("regression", y, {"first": served}, served, "mae")
    usual = np.median(apart)
    expected = np.where(apart > usual, apart / 2, apart**2 / (2 * usual)).mean()
    assert products[0][0] == pytest.approx(expected)


def test_answers_that_are_all_right_have_no_absolute_error_to_weigh_by() -> None:
    y = np.ones(10)
    products = measure_errors("regression", y, {"first": y[:, None]}, y[:, None], "mae")
    assert products == ((0.0,),)


def test_each_class_counts_alike_where_the_metric_says_so() -> None:
    y = (np.arange(200) < 4).astype(int)
    quiet, louder = np.full((200, 1), 0.02), np.full((200, 1), 0.5)
    answers = {**dict.fromkeys(MEMBERS, quiet), "correct": louder}
    plain, balanced = (
        weigh([errors_of("binary", y, answers, metric, late=0)] * 20)
        for metric in ("auc", "balanced_accuracy")
    )
    assert plain.correct < 1 / IDLE
    assert balanced.correct > 0.5


def of_others(size: float, seed: int, late: int = 4) -> MemberErrors:
    """A window in which the first errs by 1 and the others by so much."""
    sizes = {**dict.fromkeys(MEMBERS, size), "first": 1.0}
    return window(sizes, seed, late=late, common=0.99)


SWINGING = [of_others(0.8 if (number // 8) % 2 else 1.2, number) for number in range(60)]
"""What helps in eight windows harms in the next eight, and labels come four windows late."""


def served_by(record: list[MemberErrors], harm: float | None) -> float:
    """The loss of what would have been served window by window, over that of the first."""
    served = alone = 0.0
    for now in range(10, len(record)):
        shares = weigh(record[: now - 4], harm).shares
        served += float(shares @ record[now].whole @ shares)
        alone += record[now].whole[0, 0]
    return served / alone


def test_a_bound_of_harm_lets_in_what_has_done_none() -> None:
    prompt, late = ([of_others(0.3, seed, wait) for seed in range(20)] for wait in (0, 4))
    assert weigh(prompt, harm=0.01).first < 0.3
    assert weigh(late, harm=0.01).first < 0.7
    assert served_by(late, 0.01) < 0.8


@pytest.mark.parametrize("harm", [0.01, 0.05, 0.2])
def test_a_bound_of_harm_keeps_out_what_has_done_some(harm: float) -> None:
    assert served_by(SWINGING, None) > 1.1
    assert served_by(SWINGING, harm) < 1.05
    assert weigh(SWINGING, harm).first > weigh(SWINGING).first


def test_the_less_harm_is_allowed_the_more_is_left_to_the_first() -> None:
    shares = [weigh(SWINGING, harm).first for harm in (0.01, 0.05, 0.2, 0.9)]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > shares[-1]
