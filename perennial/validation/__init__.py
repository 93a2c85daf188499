"""Expectations: learned from a reference, kept as JSON to edit, held against windows."""

from perennial.validation.learn import learn_suite
from perennial.validation.suite import Finding, Report, validate

__all__ = ["Finding", "Report", "learn_suite", "validate"]
