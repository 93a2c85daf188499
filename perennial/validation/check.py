"""See that a suite is one before anything is held against it: a fault says where it is."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from perennial.errors import ValidationFailed
from perennial.validation.foreign import check_foreign
from perennial.validation.row_rules import ROW_KINDS
from perennial.validation.rules import Rule, read_rules
from perennial.validation.table_rules import TABLE_KINDS


def check_suite(suite: object, where: str) -> None:
    """See that every rule of a suite can be held against a table.

    Args:
        where: names the suite in errors.

    Raises:
        ValidationFailed: as `read_checked`, or Great Expectations does not know a rule either.
    """
    rules = read_checked(suite, where)
    check_foreign({n: rule for n, rule in enumerate(rules) if not is_known(rule)}, where)


def read_checked(suite: object, where: str = "expectations.json") -> tuple[Rule, ...]:
    """Read the rules of a suite and see that those which our own code judges may stand so.

    Raises:
        ValidationFailed: it is no suite, or a rule may not stand as it does; names its place.
    """
    rules = read_rules(suite, where)
    for number, rule in enumerate(rules):
        place = f"{where}: expectations[{number}]"
        if is_known(rule):
            _check_arguments(rule, place)
        if rule.severity == "quarantine" and rule.type not in ROW_KINDS:
            raise ValidationFailed(
                f"{place}.meta.severity: {rule.type} sets no rows aside; write hold or warn"
            )
    return rules


def is_known(rule: Rule) -> bool:
    """Whether our own code judges a rule; Great Expectations is asked about the others."""
    kind = ROW_KINDS.get(rule.type) or TABLE_KINDS.get(rule.type)
    given = {key for key, value in rule.kwargs.items() if value is not None}
    return kind is not None and given <= kind.arguments


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_bound(value: object) -> bool:
    return value is None or _is_number(value) or _is_text(value)


def _is_share(value: object) -> bool:
    return value is None or (_is_number(value) and 0 <= value <= 1)  # type: ignore[operator]


def _is_pattern(value: object) -> bool:
    try:
        re.compile(value)  # type: ignore[call-overload]
    except (TypeError, re.error):
        return False
    return True


_ARGUMENTS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "column": (_is_text, "the name of a column"),
    "column_A": (_is_text, "the name of a column"),
    "column_B": (_is_text, "the name of a column"),
    "column_list": (_is_texts, "a list of names of columns"),
    "value_set": (lambda value: isinstance(value, list), "a list of values"),
    "type_list": (_is_texts, "a list of names of types"),
    "type_": (_is_text, "the name of a type"),
    "regex": (_is_pattern, "a regular expression"),
    "value": (_is_number, "a number"),
    "min_value": (_is_bound, "a number, or a time as text"),
    "max_value": (_is_bound, "a number, or a time as text"),
    "mostly": (_is_share, "a share from 0 to 1"),
}
_OPTIONAL = {"min_value", "max_value", "mostly", "strict_min", "strict_max", "or_equal", "strictly"}


def _check_arguments(rule: Rule, place: str) -> None:
    kind = ROW_KINDS.get(rule.type) or TABLE_KINDS[rule.type]
    missing = sorted(kind.arguments - _OPTIONAL - set(rule.kwargs))
    if missing:
        raise ValidationFailed(f"{place}.kwargs: {rule.type} needs {', '.join(missing)}")
    for key, value in rule.kwargs.items():
        is_right, wanted = _ARGUMENTS.get(key, (None, ""))
        if is_right is not None and not is_right(value):
            raise ValidationFailed(f"{place}.kwargs.{key}: {value!r} stood there; write {wanted}")
