"""Which alert asks for what: labels in, an order out."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, get_args

import yaml
from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from perennial.alerts.alert import LONGEST_REASON, Action, Alert, Request, first_fault
from perennial.errors import AlertError
from perennial.spec import Duration


def _as_tuple(value: object) -> object:
    return (value,) if isinstance(value, str) else value


OneOrMore = Annotated[tuple[str, ...], BeforeValidator(_as_tuple), Field(min_length=1)]


class Rule(BaseModel):
    """What alerts with these labels ask for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    match: dict[str, OneOrMore]
    """Values that a label may have, for each label; all must fit."""
    action: Action | Literal["ignore"]
    pipeline: str | None = None
    """Left out: the label says."""

    def fits(self, labels: dict[str, str]) -> bool:
        """Tell whether all labels have one of the values."""
        return all(labels.get(name) in values for name, values in self.match.items())


class Rules(BaseModel):
    """What is declared, with what holds where nothing is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pipeline: OneOrMore = ("pipeline", "model")
    """Labels that may name the pipeline; the first that is there does."""
    action: str = "perennial_action"
    """Label or annotation that names the action where no rule fits."""
    version: str = "version"
    """Label that names the version at fault."""
    settle: Duration = timedelta(minutes=15)
    """For so long after a rollback, an alert that names no version brings no other one."""
    rules: tuple[Rule, ...] = ()
    """The first that fits counts."""


class Order(BaseModel):
    """What is asked for."""

    model_config = ConfigDict(frozen=True)

    name: str
    """The same for all repeats."""
    pipeline: str
    action: Action
    reason: str
    version: str | None = None
    since: AwareDatetime
    """When what it complains of began."""


class Ignored(NamedTuple):
    """An alert that asks for nothing."""

    why: str


def read_rules(path: Path | None) -> Rules:
    """Read declared rules; None: those that hold where none are declared.

    Raises:
        AlertError: the file cannot be read, or says something impossible.
    """
    if path is None:
        return Rules()
    try:
        value = yaml.safe_load(path.read_text(encoding="utf-8"))
        return Rules.model_validate({} if value is None else value)
    except OSError as error:
        raise AlertError(f"{path} cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise AlertError(f"{path} is no YAML: {' '.join(str(error).split())}") from None
    except ValidationError as error:
        raise AlertError(f"{path}: {first_fault(error)}") from None


def order_of(alert: Alert, rules: Rules) -> Order | Ignored:
    """Say what a firing alert asks for."""
    labels = alert.labels
    rule = next((rule for rule in rules.rules if rule.fits(labels)), None)
    action = rule.action if rule is not None else _named_action(alert, rules)
    if action is None:
        return Ignored(f"no rule fits, and there is no label or annotation {rules.action}")
    if action == "ignore":
        return Ignored("the rules say so")
    if action not in get_args(Action):
        allowed = ", ".join(get_args(Action))
        return Ignored(f"{rules.action} is {action!r}: it may be {allowed}")
    named = next((labels[name] for name in rules.pipeline if labels.get(name)), None)
    pipeline = rule.pipeline if rule is not None and rule.pipeline is not None else named
    if pipeline is None:
        return Ignored(f"it names no pipeline: no label {' or '.join(rules.pipeline)}")
    return Order.model_validate(
        {
            "name": alert.name,
            "pipeline": pipeline,
            "action": action,
            "reason": _reason(alert),
            "version": labels.get(rules.version) or None,
            "since": alert.starts_at,
        }
    )


def order_of_request(request: Request, now: AwareDatetime) -> Order:
    """Say what a plain request asks for."""
    return Order(
        name=request.name(),
        pipeline=request.pipeline,
        action=request.action,
        reason=request.reason,
        version=request.version,
        since=now,
    )


def _named_action(alert: Alert, rules: Rules) -> str | None:
    return alert.labels.get(rules.action) or alert.annotations.get(rules.action) or None


def _reason(alert: Alert) -> str:
    title = alert.labels.get("alertname", "alert")
    text = alert.annotations.get("summary") or alert.annotations.get("description")
    return f"{title}: {text}"[:LONGEST_REASON] if text else title
