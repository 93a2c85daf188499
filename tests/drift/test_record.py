"""A check comes back from its JSON as it was."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from perennial.drift import Check, Decision, InputVerdict, LossVerdict, Promise
from perennial.drift.detector import FeatureVerdict
from perennial.drift.why import Cause, Explanation

figures = st.floats(allow_nan=False, allow_infinity=False)
names = st.text(min_size=1, max_size=8)
counts = st.integers(0, 10**9)

promises = st.builds(Promise, measured=figures, mean=figures, variance=figures, stderr=figures)
losses = st.builds(
    LossVerdict,
    window=names,
    loss=figures,
    stderr=figures,
    promise=promises,
    ratio=figures,
    low=figures,
    high=figures,
    p_value=figures,
)
features = st.builds(
    FeatureVerdict,
    feature=names,
    statistic=figures,
    p_value=figures,
    effect=figures,
    threshold=figures,
    detail=names,
)
inputs = st.builds(
    InputVerdict,
    detector=names,
    p_value=figures,
    effect=figures,
    features=st.lists(features, max_size=2).map(tuple),
)
causes = st.builds(
    Cause,
    label=names,
    features=st.lists(names, max_size=2).map(tuple),
    detail=names,
    effect=figures,
    since=names,
    scores=st.lists(figures, max_size=2).map(tuple),
    extra_loss=st.none() | figures,
    loss_share=st.none() | figures,
    picture=st.none(),
)
explanations = st.builds(
    Explanation, window=names, windows=st.just(()), causes=st.lists(causes, max_size=2).map(tuple)
)
decisions = st.builds(
    Decision,
    reason=names,
    windows=st.lists(names, max_size=2).map(tuple),
    features=st.lists(names, max_size=2).map(tuple),
    loss_ratio=st.none() | figures,
)
checks = st.builds(
    Check,
    pipeline=names,
    window=names,
    input=st.none() | inputs,
    losses=st.lists(losses, max_size=2).map(tuple),
    cursor=st.dictionaries(names, st.none() | counts | names, max_size=3),
    rows=counts,
    champion=names,
    decision=decisions,
    labels=st.lists(inputs, max_size=1).map(tuple),
    why=st.none() | explanations,
    at=st.datetimes(timezones=st.just(UTC), min_value=datetime(2000, 1, 1)),
)


@given(checks)
def test_a_check_survives_json(check: Check) -> None:
    assert Check.model_validate_json(check.model_dump_json()) == check
