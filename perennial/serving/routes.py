"""What a path asks for, of the routes that name a model."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import msgspec

from perennial.serving.auth import Scope

_V1 = "/v1/models/"
_V2 = "/v2/models/"

Action = Literal["predict", "feedback", "infer", "metadata", "ready", "config", "other"]
_SCOPES: dict[str, Scope] = {
    "predict": "predict",
    "infer": "predict",
    "feedback": "feedback",
    "metadata": "read",
    "ready": "read",
    "config": "read",
}
_V1_VERBS: dict[str, Action] = {"predict": "predict", "feedback": "feedback"}
_BELOW_V2: dict[str, Action] = {
    "": "metadata",
    "infer": "infer",
    "ready": "ready",
    "config": "config",
}


class Route(msgspec.Struct, frozen=True):
    """A path, read."""

    action: Action
    """other: the path names no model, or nothing that is done with one."""
    name: str = ""
    """Of the pipeline."""
    version: str | None = None

    @property
    def scope(self) -> Scope | None:
        """What a token must allow."""
        return _SCOPES.get(self.action)


@lru_cache(maxsize=1024)
def find_route(path: str) -> Route:
    """Read a path."""
    if path.startswith(_V1):
        name, _, verb = path.removeprefix(_V1).rpartition(":")
        return Route(_V1_VERBS.get(verb, "other"), name)
    if not path.startswith(_V2):
        return Route("other")
    name, *rest = path.removeprefix(_V2).split("/")
    version = None
    if len(rest) > 1 and rest[0] == "versions":
        version, rest = rest[1], rest[2:]
    action = _BELOW_V2.get("/".join(rest))
    return Route("other", name) if action is None else Route(action, name, version)
