"""A gate's decision is told in the pipeline's own metric, with units."""

from __future__ import annotations

import re

import numpy as np
import pytest

from perennial.evaluation.answers import Answers
from perennial.evaluation.decision import GateDecision
from perennial.evaluation.gate import judge
from perennial.evaluation.packaged import check_latency, check_size
from perennial.evaluation.rivals import score_rivals
from perennial.report.gate import HEADER, check_rows, lead
from perennial.spec import Gates

ROWS = 200
RNG = np.random.default_rng(0)
SLOW = np.cumsum(RNG.normal(size=2 * ROWS))
"""A stream of which the last value tells nearly all."""


def decided(
    y: np.ndarray, training: np.ndarray, off: float, champion_off: float | None = None
) -> GateDecision:
    """The decision on a candidate whose answers are off by so much."""
    noise = RNG.normal(size=(len(y), 1))
    candidate = y[:, None] + off * noise
    champion = None if champion_off is None else y[:, None] + champion_off * noise
    answers = Answers("regression", "rmse", y, candidate, champion, training)
    decision, scores = judge(answers, Gates()), score_rivals(answers)
    package = (check_size(200_123, 200), check_latency(np.array([0.12, 0.12, 0.12]), None))
    checks = (*decision.checks, *package)
    return decision.model_copy(update={"scores": scores, "checks": checks})


def cells(decision: GateDecision, check: str) -> dict[str, str]:
    (row,) = [row for row in check_rows(decision) if row[0] == check]
    return dict(zip(HEADER, row, strict=True))


def test_the_metric_of_the_candidate_stands_beside_that_of_its_rivals() -> None:
    y = RNG.normal(size=2 * ROWS)
    verdict, told = lead(decided(y[ROWS:], y[:ROWS], 0.1, 0.2))
    assert verdict.startswith("**Passed** on 200 rows: ")
    assert re.match(r"rmse 0\.\d+, against 0\.\d+ by the champion, ", told)
    assert "by a constant answer, " in told
    assert told.endswith("by repeating the last known value.")


def test_a_forecast_worse_than_yesterdays_value_is_told_first() -> None:
    first, *_ = lead(decided(SLOW[ROWS:], SLOW[:ROWS], 4.0))
    assert first.startswith("**Clearly worse than repeating the last known value**: rmse ")
    assert " against " in first


def test_figures_have_units() -> None:
    decision = decided(SLOW[ROWS:], SLOW[:ROWS], 0.1, 0.2)
    assert cells(decision, "size") | {"in words": ""} == {
        "check": "size",
        "verdict": "passed",
        "measured": "0.2 MB",
        "allowed": "at most 200 MB",
        "in words": "",
    }
    assert cells(decision, "time for one row")["measured"] == "0.12 ms (0.12 ms to 0.12 ms)"
    assert cells(decision, "rows to judge by")["allowed"] == "at least 10"
    against = cells(decision, "loss against the champion")
    assert against["measured"].startswith("-7")
    assert against["allowed"] == "at most +0.0%"


def test_what_refused_stands_first() -> None:
    rows = check_rows(decided(SLOW[ROWS:], SLOW[:ROWS], 9.0, 0.1))
    assert rows[0][1] == "refused"
    assert [row[1] for row in rows].count("refused") >= 1


@pytest.mark.parametrize("rows", [0, 1])
def test_without_rows_or_numbers_there_is_no_score(rows: int) -> None:
    nothing = np.full((rows, 1), np.nan)
    scores = score_rivals(Answers("regression", "rmse", np.zeros(rows), nothing, None, np.zeros(5)))
    assert (scores.candidate, scores.champion) == (None, None)
    decision = GateDecision(rows=rows, reason="0 labelled rows", checks=(), scores=scores)
    assert lead(decision) == [f"**Passed** on {rows} rows: 0 labelled rows."]
