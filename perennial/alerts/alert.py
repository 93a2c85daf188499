"""What comes in: Alertmanager's webhook (version 4), or a plain request in JSON.

Alertmanager's format: https://prometheus.io/docs/alerting/latest/configuration/#webhook_config
"""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError
from ulid import ULID

from perennial.errors import AlertError

Action = Literal["monitor", "retrain", "rollback"]
"""monitor: look now. retrain: make a new version. rollback: step back to the version before."""

LONGEST_REASON = 1000


class Alert(BaseModel):
    """One alert of Alertmanager."""

    model_config = ConfigDict(frozen=True)

    status: Literal["firing", "resolved"]
    labels: dict[str, str]
    annotations: dict[str, str] = {}
    starts_at: AwareDatetime = Field(alias="startsAt")
    fingerprint: str = ""
    """Alertmanager's name for this set of labels."""

    @property
    def name(self) -> str:
        """The same for every repeat of one incident, and for no other."""
        source = self.fingerprint or json.dumps(self.labels, sort_keys=True)
        return f"{self.starts_at:%Y%m%dT%H%M%S%fZ}-{_digest(source)}"


class Webhook(BaseModel):
    """A group of alerts, as Alertmanager sends it."""

    model_config = ConfigDict(frozen=True)

    version: Literal["4"]
    alerts: tuple[Alert, ...]
    truncated: int = Field(default=0, alias="truncatedAlerts")
    """Alerts of the group that Alertmanager left out (its option ``max_alerts``)."""


class Request(BaseModel):
    """What any other program sends."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pipeline: str
    action: Action
    reason: Annotated[str, Field(min_length=1, max_length=LONGEST_REASON)]
    version: str | None = None
    """The version that is at fault; a rollback leaves alone whoever answers in its place."""
    id: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    """Names the incident: a second request with it does nothing. Left out: each counts."""

    def name(self) -> str:
        """The same for every repeat with one ``id``."""
        return str(ULID()) if self.id is None else f"id-{_digest(self.id)}"


def parse(body: bytes) -> Webhook | Request:
    """Read a body: a webhook where there is ``alerts``, else a plain request.

    Raises:
        AlertError: it is neither; says where, and what is amiss there.
    """
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise AlertError(f"the body is no JSON: {error}") from None
    if not isinstance(value, dict):
        raise AlertError("the body is no JSON object")
    kind = Webhook if "alerts" in value else Request
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        raise AlertError(first_fault(error)) from None


def first_fault(error: ValidationError) -> str:
    """Say in one line where a document is wrong first, and how."""
    fault = error.errors()[0]
    where = ".".join(map(str, fault["loc"])) or "the document"
    return f"{where}: {fault['msg']}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
