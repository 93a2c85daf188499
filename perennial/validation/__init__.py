"""Expectations: learned from a reference, kept as JSON to edit, held against windows."""

from perennial.validation.evaluate import Evaluation, validate, validate_training
from perennial.validation.files import validate_files, validate_parquet
from perennial.validation.learn import learn_suite
from perennial.validation.report import Finding, Report
from perennial.validation.suites import find_suite, need_suite

__all__ = [
    "Evaluation",
    "Finding",
    "Report",
    "find_suite",
    "learn_suite",
    "need_suite",
    "validate",
    "validate_files",
    "validate_parquet",
    "validate_training",
]
