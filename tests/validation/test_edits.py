import copy

from perennial.validation.edits import merge


def rule(kind, severity="warn", **kwargs):
    return {"type": kind, "kwargs": kwargs, "meta": {"severity": severity}}


def learned(high):
    return {
        "name": "p",
        "expectations": [
            rule("expect_column_to_exist", "hold", column="x"),
            rule("expect_column_values_to_be_between", column="x", max_value=high),
        ],
        "meta": {"learned_from_rows": high},
    }


def rules(suite):
    return [
        (r["type"], r["kwargs"].get("max_value"), r["meta"]["severity"])
        for r in suite["expectations"]
    ]


EXISTS = ("expect_column_to_exist", None, "hold")


def test_what_nobody_touched_is_learned_anew():
    suite = merge(merge(None, learned(10)), learned(20))
    assert rules(suite) == [EXISTS, ("expect_column_values_to_be_between", 20, "warn")]
    assert suite["meta"]["learned_from_rows"] == 20


def test_learning_the_same_again_changes_nothing():
    once = merge(None, learned(10))
    assert merge(once, learned(10)) == once


def test_edited_figures_and_severities_stay():
    suite = merge(None, learned(10))
    suite["expectations"][1]["kwargs"]["max_value"] = 7
    assert rules(merge(suite, learned(20)))[1] == ("expect_column_values_to_be_between", 7, "warn")
    suite = merge(None, learned(10))
    suite["expectations"][1]["meta"]["severity"] = "hold"
    again = merge(merge(suite, learned(20)), learned(30))
    assert rules(again)[1] == ("expect_column_values_to_be_between", 10, "hold")


def test_rules_written_by_hand_stay_and_deleted_ones_stay_away():
    suite = merge(None, learned(10))
    del suite["expectations"][1]
    mine = rule("expect_column_values_to_be_unique", "quarantine", column="x")
    suite["expectations"].append(copy.deepcopy(mine))
    again = merge(merge(suite, learned(20)), learned(30))
    assert rules(again) == [EXISTS, ("expect_column_values_to_be_unique", None, "quarantine")]


def test_a_suite_of_before_rules_were_marked_is_taken_as_edited():
    assert rules(merge(learned(10), learned(20)))[1][1] == 10
