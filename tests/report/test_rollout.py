import re
from datetime import UTC, datetime

import numpy as np

from perennial.registry import Standing, new_entry
from perennial.registry.state import State
from perennial.report.rollout import StageMark, rollout_chart, rollout_picture, stage_marks
from perennial.report.rollout_page import RolloutStory, rollout_page
from perennial.rollout.decision import decide
from perennial.rollout.evidence import Evidence, Losses
from perennial.spec import parse_spec

LEAST = {"name": "bike", "task": "regression", "source": {"uri": "a.csv"}, "target": "cnt"}
SPEC = parse_spec(LEAST, origin="test")
NOW = datetime(2030, 1, 1, tzinfo=UTC)


def picture(rows):
    rng = np.random.default_rng(0)
    theirs = rng.standard_normal(rows)
    losses = Losses((0.8 * theirs) ** 2, theirs**2)
    evidence = Evidence(weight=0.1, losses=losses)
    decision = decide(evidence, SPEC.rollout, "canary")
    marks = (StageMark(0, "shadow"), StageMark(100, "canary 10%"))
    return rollout_picture(SPEC, "bike: watching", evidence, decision, marks)


def test_the_chart_is_a_picture_and_the_same_each_time():
    chart = rollout_chart(picture(400))
    assert chart.startswith(b"\x89PNG")
    assert chart == rollout_chart(picture(400))


def test_before_anything_is_known_there_is_a_picture_too():
    for rows in (0, 1, 10):
        assert rollout_chart(picture(rows)).startswith(b"\x89PNG")


def test_the_page_needs_nothing_from_elsewhere_and_says_why():
    decision = decide(Evidence(weight=0.1), SPEC.rollout, "canary")
    told = RolloutStory(
        pipeline="bike",
        version="0002",
        title="Rolled back",
        reason="it was <b>slow</b>",
        standing="0001 100%",
        rows=300,
        labelled_rows=120,
        checks=decision.checks,
        changes=(entry("rollout.advanced", 0, stage="shadow"),),
    )
    page = rollout_page(told, picture(400))
    assert re.findall(r"(?:src|href)=\"(?!data:)", page) == []
    assert "data:image/png;base64," in page
    assert "0002 of bike: rolled back" in page
    assert "it was &lt;b&gt;slow&lt;/b&gt;. Now: 0001 100%." in page
    assert "rollout.advanced" in page
    assert all(check.name in page for check in decision.checks)


def test_guardrails_stand_below_it_and_the_loss_above():
    names = {check.name for check in picture(10).guardrails}
    assert {"loads", "errors", "latency"} <= names
    assert "loss" not in names


def entry(event, rows, **after):
    standing = Standing(champion="1", **{"challenger": "2", "weight": 0.0, **after})
    new = new_entry(event, reason="so", by="test", details={"labelled_rows": rows})
    return new.model_copy(update={"after": standing})


def test_stages_begin_where_the_history_says():
    state = State(pipeline="bike", champion="1", challenger="2", stage="canary", updated_at=NOW)
    entries = [
        entry("rollout.advanced", 0, stage="shadow", challenger="0"),
        entry("rollout.advanced", 0, stage="shadow"),
        entry("rollout.advanced", 120, stage="canary", weight=0.1),
    ]
    marks = stage_marks(entries, state)
    assert [(mark.rows, mark.label) for mark in marks] == [(0, "shadow"), (120, "canary 10%")]
