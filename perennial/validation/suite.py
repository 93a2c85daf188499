"""Hold a frame against a suite with Great Expectations."""

from __future__ import annotations

import warnings
from typing import Any, Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict

from perennial.errors import ValidationFailed

Severity = Literal["hold", "warn"]


class Finding(BaseModel):
    """One rule that was broken."""

    model_config = ConfigDict(frozen=True)

    rule: str
    column: str | None
    severity: Severity
    observed: str
    """What was seen, in words."""

    def __str__(self) -> str:
        subject = self.column or "table"
        return f"{subject}: {self.rule} is broken ({self.observed})"


class Report(BaseModel):
    """What a suite says of a frame."""

    model_config = ConfigDict(frozen=True)

    rows: int
    rules: int
    findings: tuple[Finding, ...]

    @property
    def held(self) -> tuple[Finding, ...]:
        """Findings for which the rows may not be trained on."""
        return tuple(f for f in self.findings if f.severity == "hold")


def validate(frame: pd.DataFrame, suite: dict[str, Any]) -> Report:
    """Check every rule; a second, detailed look is taken only when one is broken.

    Raises:
        ValidationFailed: the suite itself is no valid Great Expectations suite.
    """
    import great_expectations as gx
    from great_expectations.exceptions import GreatExpectationsError

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    try:
        expectations = gx.ExpectationSuite(
            name=suite["name"], expectations=suite["expectations"], meta=suite.get("meta")
        )
    except (GreatExpectationsError, KeyError, TypeError, ValueError) as error:
        raise ValidationFailed(
            f"expectations.json is no valid suite: {' '.join(str(error).split())[:300]}"
        ) from None
    batch = (
        context.data_sources.add_pandas("frame")
        .add_dataframe_asset("rows")
        .add_batch_definition_whole_dataframe("all")
        .get_batch({"dataframe": frame})
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pandas notices from inside the library
        result = batch.validate(expectations, result_format="BOOLEAN_ONLY")
        if not result.success:
            result = batch.validate(expectations, result_format="SUMMARY")
    findings = tuple(_finding(r) for r in result.results if not r.success)
    return Report(rows=len(frame), rules=len(result.results), findings=findings)


def _finding(result: Any) -> Finding:
    config = result.expectation_config
    return Finding(
        rule=config.type,
        column=config.kwargs.get("column"),
        severity=(config.meta or {}).get("severity", "warn"),
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
