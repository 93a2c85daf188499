"""Runs differ in what is luck, and nothing else; what they come to together is counted once."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from perennial.backtest.compare import repeat
from perennial.backtest.replay import replay
from perennial.backtest.spread import Repeated, Spread
from perennial.backtest.stream import Recorded, cut, seeded
from perennial.errors import SourceError
from perennial.registry import Declaration
from tests.backtest.playing import in_one_process, spec, stream

SPEC = spec(model={"estimators": ["linear"], "seed": 7})
WINDOWS = 6


def turning() -> pd.DataFrame:
    return stream(500, rows=900)


@pytest.fixture(scope="module")
def found() -> Repeated:
    with in_one_process():
        return repeat(
            turning(), SPEC, seeds=2, policies=["perennial", "never", "every"], windows=WINDOWS
        )


def test_each_run_has_the_next_seed_and_begins_a_part_of_a_window_earlier(found: Repeated) -> None:
    assert [(run.seed, run.earlier_rows, run.rows) for run in found.runs] == [
        (7, 0, 900),
        (8, 60, 840),
    ]
    assert [run.labelled for run in found.runs] == [(120,) * WINDOWS] * 2


def test_a_run_is_what_its_seed_and_its_cut_make_of_the_rows(found: Repeated) -> None:
    where = cut(900, windows=WINDOWS, train_fraction=0.2).earlier(60)
    declared = seeded(SPEC, 8)
    alone = replay(
        Recorded(turning().iloc[: where.end], declared, where), Declaration(spec=declared)
    )
    assert found.runs[1].policies["perennial"].score == alone.score


def test_a_policy_is_told_by_mean_least_and_most(found: Repeated) -> None:
    scores = [run.policies["perennial"].score for run in found.runs]
    spread = found.policies["perennial"].score
    assert (spread.least, spread.most) == (min(scores), max(scores))
    assert spread.mean == pytest.approx(sum(scores) / 2)
    assert json.loads(found.model_dump_json())["policies"]["perennial"]["score"]["runs"] == 2


def test_version_1_counts_for_neither_side_of_the_share_of_cpu(found: Repeated) -> None:
    run = found.runs[0]
    mine, every = run.policies["perennial"], run.policies["every"]
    assert 0 < mine.first_cpu_seconds < mine.cpu_seconds
    assert run.cpu_share("perennial") == pytest.approx(
        (mine.cpu_seconds - mine.first_cpu_seconds) / (every.cpu_seconds - every.first_cpu_seconds)
    )
    assert (run.cpu_share("never"), run.cpu_share("every")) == (0, 1)


def test_losses_of_windows_add_up_to_the_loss_of_all_rows(found: Repeated) -> None:
    mine = found.runs[1].policies["perennial"]
    assert sum(loss or 0 for loss in mine.window_losses) / WINDOWS == pytest.approx(mine.loss)


def test_runs_without_a_figure_are_not_counted() -> None:
    assert Spread.of([None, None]) is None
    assert Spread.of([1.0, None, 3.0]) == Spread(mean=2.0, least=1.0, most=3.0, runs=2)


@pytest.mark.usefixtures("one_process")
def test_a_run_that_cannot_begin_is_left_out_and_named() -> None:
    frame = turning()
    frame.loc[:115, "y"] = None  # of four rows of the second run's first fraction nothing is made
    left = repeat(frame, SPEC, seeds=2, policies=["perennial"], windows=WINDOWS, jobs=1)
    assert [run.seed for run in left.runs] == [7]
    assert left.refused[0].startswith("seed 8: version 1 of toy was not made")


def test_windows_cannot_begin_before_the_stream() -> None:
    where = cut(100, windows=4, train_fraction=0.2)
    assert (where.earlier(19).first, where.earlier(19).end) == (1, 81)
    with pytest.raises(SourceError, match="ask for a larger first fraction"):
        where.earlier(20)
