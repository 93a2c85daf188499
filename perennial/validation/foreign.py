"""Rules that only Great Expectations knows."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from perennial.errors import ValidationFailed
from perennial.validation.report import Finding
from perennial.validation.rules import Rule


def judge_foreign(
    suite: Mapping[str, Any],
    rules: Mapping[int, Rule],
    read: Callable[[list[str] | None], pd.DataFrame],
) -> dict[int, Finding]:
    """Let Great Expectations judge rules; a second, detailed look is taken where one is broken.

    Args:
        rules: by their number in the suite.
        read: reads the table, these columns of it; None: all.

    Returns:
        What was broken, by number.

    Raises:
        ValidationFailed: it does not know them either.
    """
    if not rules:
        return {}
    named = [name for rule in rules.values() for name in rule.columns]
    of_table = any(not rule.columns for rule in rules.values())
    frame = read(None if of_table else list(dict.fromkeys(named)))
    results = gx_results(frame, suite["name"], list(rules.values()))
    return {
        number: _finding(rules[number], result)
        for number, result in zip(rules, results, strict=True)
        if not result.success
    }


def check_foreign(rules: Mapping[int, Rule], where: str) -> None:
    """See that Great Expectations knows rules; it is loaded only where there are any.

    Args:
        rules: by their number in the suite.
        where: names the suite in errors.

    Raises:
        ValidationFailed: it does not; names the first one.
    """
    if not rules:
        return
    import great_expectations as gx

    gx.get_context(mode="ephemeral")
    for number, rule in rules.items():
        try:
            _gx_suite(where, {number: rule})
        except ValidationFailed as error:
            raise ValidationFailed(f"{where}: expectations[{number}]: {error}") from None


def gx_results(frame: pd.DataFrame, name: str, rules: list[Rule]) -> list[Any]:
    """Great Expectations' own results, one a rule and in their order.

    Where one rule raises (its column is absent) the results of others may be lost, so those are
    asked for again one by one.

    Raises:
        ValidationFailed: a rule is no expectation.
    """
    found = _validate(frame, name, dict(enumerate(rules)))
    for number, rule in enumerate(rules):
        if number not in found:
            found |= _validate(frame, name, {number: rule})
    return [found[number] for number in range(len(rules))]


def _validate(frame: pd.DataFrame, name: str, rules: Mapping[int, Rule]) -> dict[int, Any]:
    import great_expectations as gx

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    suite = _gx_suite(name, rules)
    batch = (
        context.data_sources.add_pandas("frame")
        .add_dataframe_asset("rows")
        .add_batch_definition_whole_dataframe("all")
        .get_batch({"dataframe": frame})
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pandas notices from inside the library
        result = batch.validate(suite, result_format="BOOLEAN_ONLY")
        if not result.success:
            result = batch.validate(suite, result_format="SUMMARY")
    return {r.expectation_config.meta["number"]: r for r in result.results}


def _gx_suite(name: str, rules: Mapping[int, Rule]) -> Any:
    import great_expectations as gx
    from great_expectations.exceptions import GreatExpectationsError

    suite = gx.ExpectationSuite(name=name)
    try:
        for number, rule in rules.items():
            suite.add_expectation_configuration(_configuration(number, rule))
    except (GreatExpectationsError, KeyError, TypeError, ValueError) as error:
        told = " ".join(str(error).split())[:300]
        raise ValidationFailed(f"Great Expectations does not take it: {told}") from None
    return suite


def _configuration(number: int, rule: Rule) -> Any:
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

    return ExpectationConfiguration(type=rule.type, kwargs=rule.kwargs, meta={"number": number})


def _finding(rule: Rule, result: Any) -> Finding:
    return Finding(
        rule=rule.type,
        column=", ".join(rule.columns) or None,
        severity=rule.severity,
        observed=_observed(result),
    )


def _observed(result: Any) -> str:
    raised = [info["exception_message"] for info in _exceptions(result.exception_info)]
    if raised:
        return " ".join(raised[0].split())[:200]
    seen = result.result or {}
    if seen.get("unexpected_percent") is not None:
        examples = seen.get("partial_unexpected_list") or []
        shown = ", ".join(dict.fromkeys(str(value) for value in examples[:5]))
        return f"{seen['unexpected_percent']:.1f}% of the rows" + (f": {shown}" if shown else "")
    return str(seen.get("observed_value", "no value"))


def _exceptions(info: dict[str, Any]) -> list[dict[str, Any]]:
    """Great Expectations gives either one record or a mapping of records."""
    records = [info] if "raised_exception" in info else list(info.values())
    return [r for r in records if isinstance(r, dict) and r.get("raised_exception")]
