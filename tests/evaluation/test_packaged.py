"""Size, speed, signature, parity and serving, each held against what is allowed."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from perennial.evaluation.packaged import (
    check_latency,
    check_parity_of,
    check_served,
    check_signature,
    check_size,
    time_one_row,
)
from perennial.packaging.signature import Feature, Signature, TimeField
from perennial.spec import TimeFormat


def signature(context=(), **features: str) -> Signature:
    return Signature(
        task="regression",
        target="y",
        features=tuple(Feature(name=n, kind=k) for n, k in features.items()),
        context=context,
    )


def test_a_model_that_is_too_big_or_too_slow_is_refused() -> None:
    assert check_size(3_000_000, 2.0).verdict == "refused"
    assert check_size(1_000_000, 2.0).verdict == "passed"
    assert check_size(9_000_000, None).verdict == "noted"
    clock = itertools.count().__next__
    slow = time_one_row(lambda: None, clock=lambda: clock() * 0.08)
    assert check_latency(slow, 50.0).verdict == "refused"
    assert check_latency(slow, 100.0).verdict == "passed"


CHAMPION = signature(x="numeric", city="categorical", context=("ts",))


@pytest.mark.parametrize(
    ("candidate", "fault"),
    [
        (signature(x="numeric", city="categorical", new="numeric", context=("ts",)), None),
        (signature(x="numeric", context=("ts", "city")), None),
        (signature(x="numeric", context=("ts",)), "'city' would be refused as unknown"),
        (signature(x="numeric", city="categorical"), "'ts' would be refused as unknown"),
        (signature(x="numeric", city="numeric", context=("ts",)), "'city' was categorical"),
        (CHAMPION.model_copy(update={"task": "binary"}), "task was 'regression', is 'binary'"),
    ],
)
def test_whoever_can_ask_the_champion_can_ask_the_candidate(candidate, fault) -> None:
    check = check_signature(candidate, CHAMPION, held=True)
    assert check.passed is (fault is None)
    assert fault is None or fault in check.detail
    assert check_signature(candidate, CHAMPION, held=False).passed
    assert check_signature(candidate, None, held=True).passed


def test_a_candidate_that_reads_times_otherwise_is_not_compatible() -> None:
    def timed(format: str) -> Signature:
        time = TimeField(name="ts", format=TimeFormat(format=format))
        return CHAMPION.model_copy(update={"time": time})

    german = timed("%d.%m.%Y")
    assert check_signature(german, german, held=True).passed
    assert check_signature(german, CHAMPION, held=True).passed
    refused = check_signature(timed("%m.%d.%Y"), german, held=True)
    assert refused.verdict == "refused"
    assert "'ts' was written as 31.01.2026 (UTC), would be read as 01.31.2026" in refused.detail


def test_parity_and_serving_are_held_against_the_numbers() -> None:
    assert check_parity_of(0, 100, 1e-7, 1e-4).passed
    assert not check_parity_of(1, 100, 1.0, 1e-4).passed
    expected = np.array([[1.0], [2.0]], np.float32)
    assert check_served(expected.astype(float), expected, None).passed
    assert not check_served(expected + 0.01, expected, None).passed
    assert not check_served(expected * np.nan, expected, None).passed
    assert "it fell over" in check_served(None, expected, "it fell over").detail
