"""What Perennial wrote as JSON, read back: a damaged object is told by its key."""

from __future__ import annotations

from typing import TypeVar

from pydantic import BaseModel, ValidationError

from perennial.errors import Damaged
from perennial.store.objects import StoredObject

M = TypeVar("M", bound=BaseModel)


def read_record(kind: type[M], found: StoredObject) -> M:
    """Read an object as a record of this kind.

    Raises:
        Damaged: it is none.
    """
    try:
        return kind.model_validate_json(found.data)
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(map(str, fault["loc"])) or "as a whole"
        raise Damaged(found.key, f"{where}: {fault['msg']}") from None
