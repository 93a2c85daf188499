"""JSON files that know when they were altered.

A sealed model is written with ``digest``, the sha256 of everything else in the file, and read only
where the two agree: a flipped bit anywhere is found. Where a signing key is configured the file
also carries ``signature``, Ed25519 over the sha256 of its content: that it was altered on purpose
is found too.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from pydantic import (
    BaseModel,
    ConfigDict,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    model_serializer,
    model_validator,
)
from pydantic_core import to_json

DIGEST = "digest"
SIGNATURE = "signature"


class Sealed(BaseModel):
    """A model whose JSON carries its own digest."""

    model_config = ConfigDict(frozen=True)

    signature: str | None = None
    """Base64 of the Ed25519 signature over `content_sha256`; None: not signed."""

    @property
    def content_sha256(self) -> str:
        """What is signed: sha256 of all but digest and signature."""
        content = json.loads(self.model_dump_json())
        return _sha256({k: v for k, v in content.items() if k not in (DIGEST, SIGNATURE)})

    @model_serializer(mode="wrap")
    def _with_digest(
        self, handler: SerializerFunctionWrapHandler, info: SerializationInfo
    ) -> dict[str, Any]:
        content: dict[str, Any] = handler(self)
        if info.mode != "json":
            return content
        # As a reader will find it: NaN, for one, is written as null.
        return {**content, DIGEST: _sha256(json.loads(to_json(content)))}

    @model_validator(mode="before")
    @classmethod
    def _whole(cls, data: Any, info: ValidationInfo) -> Any:
        if info.mode != "json" or not isinstance(data, dict):
            return data
        content = dict(data)
        if content.pop(DIGEST, None) != _sha256(content):
            raise ValueError("its digest is not that of its content: it was altered or damaged")
        return content


def _sha256(content: dict[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()
