"""Expectations: learned from a reference, kept as JSON to edit, held against windows."""

from perennial.validation.evaluate import Evaluation, validate, validate_parquet
from perennial.validation.learn import learn_suite
from perennial.validation.report import Finding, Report
from perennial.validation.suites import find_suite

__all__ = [
    "Evaluation",
    "Finding",
    "Report",
    "find_suite",
    "learn_suite",
    "validate",
    "validate_parquet",
]
