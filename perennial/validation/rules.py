"""The rules of a suite: Great Expectations' JSON, each with a severity in its ``meta``.

``quarantine``: rows that break the rule go aside, the rest goes on. ``hold``: the window is not
used. ``warn``: somebody is told. A rule without a severity warns.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from perennial.errors import ValidationFailed

Severity = Literal["quarantine", "hold", "warn"]


# The plugin of mypy takes the field for its own **kwargs.
class Rule(BaseModel):  # type: ignore[no-redef]
    """One expectation as it stands in the JSON."""

    model_config = ConfigDict(frozen=True)

    type: str
    kwargs: dict[str, Any]
    meta: dict[str, Any] = Field(default_factory=dict)

    @property
    def severity(self) -> Severity:
        """What breaking it leads to."""
        severity: Severity = self.meta.get("severity", "warn")
        return severity

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it is about; none for a rule about the table."""
        names = [
            self.kwargs[key] for key in ("column", "column_A", "column_B") if key in self.kwargs
        ]
        return (*names, *self.kwargs.get("column_list", ()))

    @property
    def subject(self) -> str:
        """The columns in words."""
        return ", ".join(self.columns) or "table"

    @property
    def name(self) -> str:
        """What stays the same when the rule's figures are edited or learned again."""
        return f"{self.type}({self.subject})"

    @property
    def print(self) -> str:
        """Fingerprint of what a person may edit: type, arguments and severity."""
        text = json.dumps([self.type, self.kwargs, self.severity], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


def read_rules(suite: object, where: str = "expectations.json") -> tuple[Rule, ...]:
    """Read the rules of a suite.

    Args:
        where: names the suite in errors.

    Raises:
        ValidationFailed: it is no suite, or a severity is none; names the rule.
    """
    found = suite.get("expectations") if isinstance(suite, Mapping) else None
    if (
        not isinstance(suite, Mapping)
        or not isinstance(suite.get("name"), str)
        or not isinstance(found, list)
        or not _is_meta(suite.get("meta", {}))
    ):
        raise ValidationFailed(
            f"{where} is no valid suite: an object with 'name' and a list 'expectations' "
            "is expected"
        )
    return tuple(_read_rule(item, f"{where}: expectations[{n}]") for n, item in enumerate(found))


def _is_meta(meta: object) -> bool:
    """What `perennial.validation.edits` can tell by what was learned."""
    names = meta.get("learned", []) if isinstance(meta, Mapping) else None
    return isinstance(names, list) and all(isinstance(name, str) for name in names)


def _read_rule(item: object, where: str) -> Rule:
    try:
        rule = Rule.model_validate(item)
    except ValidationError as error:
        fault = error.errors()[0]
        path = ".".join(map(str, fault["loc"]))
        raise ValidationFailed(f"{where}.{path}: {fault['msg'].lower()}") from None
    known = get_args(Severity)
    if rule.severity not in known:
        raise ValidationFailed(
            f"{where}.meta.severity: {rule.severity!r} stood there; one of {', '.join(known)}"
        )
    return rule
