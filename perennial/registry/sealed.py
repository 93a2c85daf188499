"""JSON files that know when they were altered.

A sealed model is written with ``digest``, the sha256 of everything else in the file, and read only
where the two agree: a flipped bit anywhere is found. Where a signing key is configured the file
also carries ``signature``, Ed25519 over the sha256 of its content: that it was altered on purpose
is found too. That content is what stands in the file, not what this release makes of it: a later
one, which knows more fields, finds the signature good. What kind of file it is is signed as well:
the record of a refused candidate is not taken for a version's.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    ModelWrapValidatorHandler,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    model_serializer,
    model_validator,
)
from pydantic_core import to_json

DIGEST = "digest"
SIGNATURE = "signature"
_AS_READ = "_as_read"
"""Where a model keeps `Sealed.content_sha256` of the file that it was read from: beside its fields,
by which alone it is compared."""


class Sealed(BaseModel):
    """A model whose JSON carries its own digest."""

    model_config = ConfigDict(frozen=True)

    signature: str | None = None
    """Base64 of the Ed25519 signature over `content_sha256`; None: not signed."""

    @property
    def content_sha256(self) -> str:
        """What is signed: sha256 of the kind of file and of all but digest and signature."""
        as_read: str | None = self.__dict__.get(_AS_READ)
        return as_read or self._signed_sha256(json.loads(self.model_dump_json()))

    @classmethod
    def _signed_sha256(cls, content: dict[str, Any]) -> str:
        told = {key: value for key, value in content.items() if key not in (DIGEST, SIGNATURE)}
        return _sha256({"kind": cls.__name__, "content": told})

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Copy it; with other content it is another one than was read."""
        copied = super().model_copy(update=update, deep=deep)
        if update is not None and set(update) != {SIGNATURE}:
            copied.__dict__.pop(_AS_READ, None)
        return copied

    @model_serializer(mode="wrap")
    def _with_digest(
        self, handler: SerializerFunctionWrapHandler, info: SerializationInfo
    ) -> dict[str, Any]:
        content: dict[str, Any] = handler(self)
        if info.mode != "json":
            return content
        # As a reader will find it: NaN, for one, is written as null.
        return {**content, DIGEST: _sha256(json.loads(to_json(content)))}

    @model_validator(mode="wrap")
    @classmethod
    def _whole(
        cls, data: Any, handler: ModelWrapValidatorHandler[Self], info: ValidationInfo
    ) -> Self:
        if info.mode != "json" or not isinstance(data, dict):
            return handler(data)
        content = dict(data)
        if content.pop(DIGEST, None) != _sha256(content):
            raise ValueError("its digest is not that of its content: it was altered or damaged")
        read = handler(content)
        read.__dict__[_AS_READ] = cls._signed_sha256(content)
        return read


def _sha256(content: dict[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()
