import math
import re
from dataclasses import replace

import pytest

from perennial.report.charts import loss_chart, title
from perennial.report.page import Figure, Table, render
from perennial.report.story import Mark, Series, Story
from perennial.report.validation import validation_page
from perennial.validation import Report


def series(name, scores):
    return Series(name=name, scores=scores, pooled=1.0, retrains=2)


@pytest.fixture
def story():
    return Story(
        pipeline="bike",
        metric="rmse",
        greater_is_better=False,
        perennial=series("perennial", [3.0, 2.0, math.nan]),
        never=series("never", [3.0, 4.0, 5.0]),
        every=series("every", [3.0, 2.0, 1.0]),
        marks=(Mark(1, "confirmed", "loss <b>rose</b>"), Mark(2, "took over", "0002")),
        recovered=0.9,
    )


def test_the_chart_is_a_picture_and_the_same_each_time(story):
    assert loss_chart(story).startswith(b"\x89PNG")
    assert loss_chart(story) == loss_chart(story)


def test_the_page_needs_nothing_from_elsewhere(story):
    page = render(story, [Table("Heals", ("why",), [("x",)])], [("90%", "recovered")])
    assert re.findall(r"(?:src|href)=\"(?!data:)", page) == []
    assert "data:image/png;base64," in page


def test_more_charts_stand_below(story):
    page = render(story, [], [], [Figure("What had drifted", b"chart")])
    assert page.count("data:image/png;base64,") == 2
    assert "What had drifted" in page


def test_where_there_is_nothing_to_list_there_is_no_table():
    page = validation_page("bike", "A snapshot.", Report(rows=10, rules=3, findings=()))
    assert "None." in page
    assert "<table" not in page


def test_what_a_table_says_is_text_and_not_markup(story):
    page = render(story, [Table("Heals", ("why",), [("<script>",)])], [])
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_where_nothing_is_to_be_recovered_page_and_picture_say_so(story):
    words = "nothing to recover: retraining at every window gains nothing here (never 1, every 2)"
    lost = replace(story, recovered=None, nothing_to_recover=words)
    assert words in render(lost, [], [])
    assert title(lost) == f"bike: {words}\nnew models: 2, corrections: 0"
    assert title(story).startswith("bike: 90% of what 2 retrains recover; ")
