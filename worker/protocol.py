"""What worker and fork server say to each other: one JSON object a line, over a socket pair."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, TypeAdapter


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True)

    def line(self) -> bytes:
        """Encode it with its line end."""
        return self.model_dump_json().encode() + b"\n"


class Fork(_Message):
    """Worker to server: fork a child for one flow run."""

    request: int
    environment: dict[str, str]
    directory: str
    place: str | None = None
    """Where to go from there before the flow is loaded."""
    stream_output: bool


class Ready(_Message):
    """Server to worker: the imports are done; ``failed`` says which could not be.

    With more than one thread it will not fork.
    """

    kind: Literal["ready"] = "ready"
    seconds: float
    threads: int
    failed: dict[str, str]


class Forked(_Message):
    """Server to worker: the child of a request."""

    kind: Literal["forked"] = "forked"
    request: int
    pid: int


class Refused(_Message):
    """Server to worker: why a request got no child."""

    kind: Literal["refused"] = "refused"
    request: int
    reason: str


class Exited(_Message):
    """Server to worker: a child's exit code, negative for a signal."""

    kind: Literal["exited"] = "exited"
    pid: int
    code: int


ANSWERS: TypeAdapter[Ready | Forked | Refused | Exited] = TypeAdapter(
    Ready | Forked | Refused | Exited
)
