"""What undoes a rollout whatever the loss says: it works without labels too."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from perennial.registry.history import Stage
from perennial.rollout.check import Check
from perennial.rollout.evidence import Evidence
from perennial.spec import Rollout

ENOUGH = 50
"""Requests of each side (rows, for the shift) below which nothing is said of its latency."""
_PERCENTILES = 50, 95
"""The median tells what is always slow, though a busy machine delays both sides now and then; the
95th percentile what is slow on some rows."""
_LATENCY_SLACK = 10_000
"""Microseconds: below this a multiple of the champion's latency says nothing."""
_SMALL_SHIFT = 0.05
"""A gate that saw the two models agree does not make every difference a breach."""
_PRIOR = 20.0


def guardrails(evidence: Evidence, rollout: Rollout, stage: Stage) -> Iterator[Check]:
    """Yield the checks that apply to a stage."""
    limits = rollout.guardrails
    yield _loads(evidence)
    yield _errors(evidence, limits.errors)
    if limits.latency is not None and stage != "shadow":
        yield _latency(evidence, limits.latency)
    if limits.shift is not None and stage != "bake":
        few = 1 if stage == "shadow" else rollout.labels
        yield _shift(evidence, limits.shift, labels=few)
    if limits.sample_ratio is not None and stage == "canary":
        yield _sample_ratio(evidence, limits.sample_ratio)


def _loads(evidence: Evidence) -> Check:
    return Check(
        name="loads",
        status="green" if evidence.refused is None else "breach",
        figure=None,
        threshold=None,
        detail="no server refuses it"
        if evidence.refused is None
        else f"a server refuses to load it: {evidence.refused}",
    )


def _errors(evidence: Evidence, allowed: float) -> Check:
    mine, theirs = evidence.challenger, evidence.champion
    share = mine.failed / mine.rows if mine.rows else 0.0
    most = (theirs.failed / theirs.rows if theirs.rows else 0.0) + allowed
    return Check(
        name="errors",
        status="breach" if share > most else "green" if mine.rows else "waiting",
        figure=share,
        threshold=most,
        detail=f"no answer to {mine.failed:,} of {mine.rows:,} rows"
        f" ({theirs.failed:,} by the champion)",
    )


def _latency(evidence: Evidence, ratio: float) -> Check:
    """Compare percentiles in the same span of time; in the bake, with the champion before."""
    mine, theirs = evidence.challenger.latency, evidence.champion.latency
    if min(len(mine), len(theirs)) < ENOUGH:
        few = f"latency: {len(mine)} and {len(theirs)} requests, {ENOUGH} of each are needed"
        return Check(name="latency", status="waiting", figure=None, threshold=None, detail=few)
    slow, usual = (np.percentile(side, _PERCENTILES) / 1e3 for side in (mine, theirs))
    most = ratio * usual + _LATENCY_SLACK / 1e3
    worst = int(np.argmax(slow / most))
    return Check(
        name="latency",
        status="breach" if slow[worst] > most[worst] else "green",
        figure=float(slow[worst]),
        threshold=float(most[worst]),
        detail=f"{_PERCENTILES[worst]}th percentile {slow[worst]:.1f} ms against "
        f"{usual[worst]:.1f} ms of the champion",
    )


def _shift(evidence: Evidence, ratio: float, *, labels: int) -> Check:
    """Hold the distance of the two models' answers against that at the gate.

    Once so many labels have come it is only told: they say who is right. In the shadow, where
    nothing is at stake, one is enough: more will come.
    """
    if evidence.shift is None or evidence.gate_shift is None or evidence.champion.rows < ENOUGH:
        words = "too few rows to say how far the two models' answers lie apart"
        return Check(name="shift", status="waiting", figure=None, threshold=None, detail=words)
    most = ratio * max(evidence.gate_shift, _SMALL_SHIFT)
    told = len(evidence.losses) >= labels
    return Check(
        name="shift",
        status="breach" if evidence.shift > most and not told else "green",
        figure=evidence.shift,
        threshold=most,
        detail=f"the two models' answers lie {evidence.shift:.2g} apart, {evidence.gate_shift:.2g} "
        f"at the gate" + (" (labels decide)" if told else ""),
    )


def _sample_ratio(evidence: Evidence, level: float) -> Check:
    mine, theirs = evidence.challenger.keys, evidence.champion.keys
    total = mine + theirs
    share = mine / total if total else evidence.weight
    mismatch = log_ratio_evidence(mine, theirs, evidence.weight) >= math.log(1 / level)
    return Check(
        name="sample_ratio",
        status="breach" if mismatch else "green",
        figure=share,
        threshold=evidence.weight,
        detail=f"sample ratio: it got {share:.1%} of {total:,} routing keys, "
        f"{evidence.weight:.1%} were meant for it",
    )


def log_ratio_evidence(mine: int, theirs: int, weight: float) -> float:
    """Log of the evidence that keys are not split as meant; valid at every look.

    The ratio of the counts' likelihood under a beta mixture to that under ``weight`` is a
    nonnegative martingale where the split is right (Lindon & Malek, "Anytime-valid inference for
    multinomial count data", NeurIPS 2022).
    """
    a, b = _PRIOR * weight, _PRIOR * (1 - weight)
    mixture = _log_beta(a + mine, b + theirs) - _log_beta(a, b)
    return mixture - mine * math.log(weight) - theirs * math.log1p(-weight)


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
