from dataclasses import replace

import numpy as np
import pytest

from perennial.rollout.decision import decide, resolve
from perennial.rollout.evidence import Evidence, Losses, Side
from perennial.rollout.guardrails import log_ratio_evidence
from perennial.spec import Canary, Guardrails, Rollout
from tests.rollout.conftest import losses, paired_losses

ROLLOUT = Rollout(canary=Canary(weights=(0.1, 0.5)))
LAST = Evidence(
    weight=0.5,
    seconds=60,
    rows=300,
    challenger=Side(rows=600, keys=300, latency=np.full(300, 800.0)),
    champion=Side(rows=600, keys=300, latency=np.full(300, 800.0)),
)


def action(evidence, stage="canary", rollout=ROLLOUT):
    return decide(evidence, rollout, stage).action


def check(evidence, name, stage="canary", rollout=ROLLOUT):
    return next(c for c in decide(evidence, rollout, stage).checks if c.name == name)


def test_a_better_challenger_is_promoted():
    decision = decide(replace(LAST, losses=losses(3000, -0.2)), ROLLOUT, "canary")
    assert decision.action == "promote"
    assert "shown to be within +5.0%" in decision.reason


def test_a_worse_one_is_rolled_back_in_every_stage():
    evidence = replace(LAST, losses=losses(3000, 0.6))
    assert {action(evidence, stage) for stage in ("shadow", "canary", "bake")} == {"roll_back"}


def test_one_that_was_better_and_became_worse_is_rolled_back():
    good, bad = losses(1000, -0.3), losses(3000, 1.0, seed=1)
    turned = Losses(
        np.concatenate([good.challenger, bad.challenger]),
        np.concatenate([good.champion, bad.champion]),
    )
    assert action(replace(LAST, losses=good)) == "promote"
    assert action(replace(LAST, losses=turned)) == "roll_back"


def test_one_that_is_worse_by_just_the_margin_is_not_promoted():
    seen = [action(replace(LAST, losses=losses(1500, 0.05, seed=s))) for s in range(60)]
    assert seen.count("promote") <= 5


def test_time_that_is_over_without_a_verdict_is_inconclusive():
    undecided = replace(LAST, losses=losses(150, 0.0))
    assert action(undecided) == "continue"
    assert action(replace(undecided, seconds=7200)) == "inconclusive"


def test_without_labels_the_last_stage_waits_and_is_inconclusive():
    assert action(LAST) == "continue"
    assert action(replace(LAST, seconds=7200)) == "inconclusive"


@pytest.mark.parametrize(("choice", "move"), [("promote", "promote"), ("roll_back", "roll_back")])
def test_what_inconclusive_means_is_declared(choice, move):
    decision = decide(replace(LAST, seconds=7200), ROLLOUT, "canary")
    rollout = ROLLOUT.model_copy(update={"inconclusive": choice})
    assert resolve(decision, rollout, "canary", 0.5, yes=False) == move


def test_stages_before_the_last_pass_on_rows_and_green_guardrails():
    first = replace(LAST, weight=0.1, challenger=replace(LAST.challenger, keys=60))
    assert action(first) == "promote"
    assert action(replace(first, rows=100)) == "continue"
    assert action(replace(first, rows=100, seconds=7200)) == "promote"


def test_once_labels_come_a_stage_waits_for_enough_of_them():
    early = replace(LAST, weight=0.1, losses=losses(30, 0.0), challenger=Side(rows=9))
    early = replace(early, champion=Side(rows=9))
    assert action(early) == "continue"
    assert action(replace(early, losses=losses(100, 0.0))) == "promote"


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("loads", {"refused": "the graph is damaged"}),
        ("errors", {"challenger": replace(LAST.challenger, failed=1)}),
        ("latency", {"challenger": replace(LAST.challenger, latency=np.full(300, 50_800.0))}),
        ("shift", {"shift": 0.9, "gate_shift": 0.1}),
        ("sample_ratio", {"challenger": replace(LAST.challenger, keys=150)}),
    ],
)
def test_a_breached_guardrail_rolls_back_and_says_so(name, change):
    evidence = replace(LAST, **change)
    decision = decide(evidence, ROLLOUT, "canary")
    assert decision.action == "roll_back"
    found = check(evidence, name)
    assert found.status == "breach"
    assert found.detail in decision.reason


def test_rows_that_the_champion_fails_on_too_are_not_held_against_the_challenger():
    both = {side: replace(getattr(LAST, side), failed=7) for side in ("challenger", "champion")}
    assert check(replace(LAST, **both), "errors").status == "green"


def test_labels_overrule_a_shift():
    evidence = replace(LAST, shift=0.9, gate_shift=0.1, losses=losses(3000, -0.2))
    assert action(evidence) == "promote"


def test_the_first_labels_have_a_shift_in_the_shadow_wait_for_more():
    shifted = replace(LAST, weight=0.0, shift=0.9, gate_shift=0.1)
    assert action(shifted, "shadow") == "roll_back"
    labelled = replace(shifted, losses=losses(ROLLOUT.labels - 1, -0.2))
    assert action(labelled, "shadow") == "continue"
    assert action(replace(labelled, weight=0.5), "canary") == "roll_back"


def test_what_is_always_slower_is_seen_though_both_sides_are_late_now_and_then():
    rng = np.random.default_rng(0)
    late = rng.choice([0.0, 300_000.0], 300, p=[0.9, 0.1])
    champion = replace(LAST.champion, latency=2_000.0 + late)
    for added, status in ((0.0, "green"), (50_000.0, "breach")):
        challenger = replace(LAST.challenger, latency=2_000.0 + added + late[::-1])
        evidence = replace(LAST, champion=champion, challenger=challenger)
        assert check(evidence, "latency").status == status


def test_a_guardrail_that_is_null_is_not_looked_at():
    off = ROLLOUT.model_copy(
        update={"guardrails": Guardrails(latency=None, shift=None, sample_ratio=None)}
    )
    names = {c.name for c in decide(LAST, off, "canary").checks}
    assert names == {"loss", "loads", "errors", "rows", "labels"}


def test_a_bad_slice_rolls_back_though_the_whole_is_better():
    mine, theirs = paired_losses(4000, -0.3)
    inside = np.arange(4000) % 10 == 0
    mine[inside] *= 4
    evidence = replace(LAST, losses=Losses(mine, theirs, slices={"kind = red": inside}))
    decision = decide(evidence, ROLLOUT, "canary")
    assert decision.action == "roll_back"
    assert "kind = red" in decision.reason


def test_a_slice_that_looks_worse_keeps_the_challenger_from_promotion():
    mine, theirs = paired_losses(4000, -0.3)
    inside = np.arange(4000) < 60
    mine[inside] *= 1.2 * theirs[inside].mean() / mine[inside].mean()
    evidence = replace(LAST, losses=Losses(mine, theirs, slices={"kind = red": inside}))
    assert action(evidence) == "continue"


def test_a_manual_approval_stops_before_promotion_only():
    manual = ROLLOUT.model_copy(update={"approval": "manual"})
    decision = decide(replace(LAST, losses=losses(3000, -0.2)), manual, "canary")
    assert resolve(decision, manual, "canary", 0.1, yes=False) == "advance"
    assert resolve(decision, manual, "canary", 0.5, yes=False) == "await_approval"
    assert resolve(decision, manual, "canary", 0.5, yes=True) == "promote"


def test_a_bake_that_is_over_finishes():
    decision = decide(replace(LAST, rows=1000), ROLLOUT, "bake")
    assert resolve(decision, ROLLOUT, "bake", 0.0, yes=False) == "finish"


def test_a_fair_split_is_hardly_ever_called_a_mismatch():
    rng = np.random.default_rng(0)
    counts = np.cumsum(rng.random((200, 1000)) < 0.1, axis=1)
    worst = [
        max(log_ratio_evidence(int(run[n]), n + 1 - int(run[n]), 0.1) for n in range(0, 1000, 20))
        for run in counts
    ]
    assert np.mean(np.array(worst) >= np.log(1 / 0.05)) <= 0.05
