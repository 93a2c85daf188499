"""The benchmark's rows: what they hold the policy against, and which need not be made again."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import bench_backtest
from benchmarks.backtest_streams import streams
from benchmarks.bench_backtest import (
    Row,
    _is_made,
    read_rows,
    tables,
    worse_than,
    worst_span,
    write_row,
)
from perennial.backtest.result import Backtest, PolicyResult
from perennial.backtest.spread import PolicySpread, Spread


def result(score: float, losses: tuple[float | None, ...]) -> PolicyResult:
    return PolicyResult(
        score=score,
        heals={"recalibrate": 0, "correct": 0, "retrain": 0},
        retrains=0,
        fits=1,
        cpu_seconds=2.0,
        first_cpu_seconds=1.0,
        recovered=None,
        loss=0.0,
        window_scores=losses,
        window_losses=losses,
        decisions=(),
    )


def found(metric: str, mine: PolicyResult, never: PolicyResult) -> Backtest:
    return Backtest(
        pipeline="toy",
        metric=metric,
        greater_is_better=metric == "accuracy",
        rows=100,
        windows=4,
        train_fraction=0.2,
        label_delay_windows=0,
        at_once=True,
        seed=0,
        labelled=(10, 10, 0, 30),
        policies={
            "perennial": mine,
            "never": never,
            "every": result(0.9 * never.score, never.window_losses),
            "periodic-5": never,
        },
    )


def row(stream: str, late: int = 0, commit: str = "abc") -> Row:
    spread = Spread(mean=1.0, least=0.5, most=1.5, runs=2)
    policy = PolicySpread(
        score=spread, recovered=None, cpu_share=spread, corrections=spread, retrains=spread
    )
    names = ("perennial", "never", "every", "periodic-5", "hindsight")
    figures = ("worse_than_best", "worse_than_never", "worst_three", "worst_twenty")
    return Row(
        stream=stream,
        control=False,
        metric="rmse",
        rows=100,
        label_delay_windows=late,
        at_once=True,
        seeds=2,
        commit=commit,
        policies=dict.fromkeys(names, policy),
        refused=spread,
        cost_wins=spread,
        left_out=(),
        **dict.fromkeys(figures, spread),
    )


@pytest.mark.parametrize(
    ("metric", "best", "never"), [("rmse", 1.1 / 0.9 - 1, 0.1), ("accuracy", -0.1, -0.1)]
)
def test_worse_is_a_share_of_the_score_whichever_way_is_better(
    metric: str, best: float, never: float
) -> None:
    told = found(metric, result(1.1, (None,) * 4), result(1.0, (None,) * 4))
    assert worse_than(told, ["never", "every", "periodic-5"]) == pytest.approx(best)
    assert worse_than(told, ["never"]) == pytest.approx(never)


def test_losses_of_windows_in_a_row_are_pooled_by_their_labelled_rows() -> None:
    told = found("rmse", result(1.0, (4.0, 1.0, None, 2.0)), result(1.0, (1.0, 1.0, None, 1.0)))
    assert worst_span(told, 1) == pytest.approx(4.0)
    assert worst_span(told, 3) == pytest.approx(max(50 / 20, 70 / 40))
    assert worst_span(told, 20) == pytest.approx(110 / 50)


def test_a_never_without_fault_is_held_to_one() -> None:
    told = found("accuracy", result(1.0, (0.2, 0.0, None, 0.0)), result(1.0, (0.0,) * 4))
    assert worst_span(told, 3) == pytest.approx(2.0)


def test_rows_are_kept_one_by_one_and_made_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench_backtest, "RESULT", tmp_path / "backtest.json")
    assert read_rows() == []
    for one in (row("b"), row("a"), row("a", late=5), row("b", commit="new")):
        write_row(one, ["a", "b"])
    assert [(one.key, one.commit) for one in read_rows()] == [
        (("a", 0, True), "abc"),
        (("b", 0, True), "new"),
        (("a", 5, True), "abc"),
    ]
    policies = tuple(row("a").policies)
    assert _is_made(("b", 0, True), "new", 2, policies)
    assert not _is_made(("b", 0, True), "abc", 2, policies)
    assert not _is_made(("b", 0, True), "new", 5, policies)
    assert not _is_made(("b", 0, True), "new", 2, (*policies, "arf"))
    assert tables(read_rows()).count("labels 0 windows late") == 1


def test_streams_that_are_not_there_are_named() -> None:
    there, absent = streams()
    assert {"bike", "flights-every-5", "stationary", "noise"} <= {one.name for one in there}
    assert {one.name for one in there} | set(absent) >= {"beijing", "gas", "airquality", "elec2"}
    made = next(one for one in there if one.name == "noise")
    assert len(made.read()) == 12_000
