"""The time of a request: seen to be one before anything is logged."""

from __future__ import annotations

from collections.abc import Sequence

from perennial.errors import RequestError
from perennial.packaging.signature import Signature


class RequestTime:
    """Looks at the time among the context fields of rows. A row without one is fine: it happens
    when it arrives."""

    def __init__(self, name: str, place: int, signature: Signature) -> None:
        assert signature.time is not None
        self._name = name
        self._place = place
        self._format = signature.time.format
        self._read = signature.time.format.read

    @classmethod
    def of(cls, signature: Signature) -> RequestTime | None:
        """Make one for a signature; None where it has no time."""
        time = signature.time
        if time is None or time.name not in signature.context:
            return None
        return cls(time.name, signature.context.index(time.name), signature)

    def fits(self, context: Sequence[str | None]) -> bool:
        """Tell whether a row's time is one, or is not there."""
        value = context[self._place]
        if value is None:
            return True
        try:
            self._read(value)
        except ValueError:
            return False
        return True

    def check(self, rows: Sequence[Sequence[str | None]]) -> None:
        """See that every row's time is one, or is not there.

        Raises:
            RequestError: one is not; names row, field, value and how to write it.
        """
        for row, context in enumerate(rows):
            if not self.fits(context):
                value = str(context[self._place])[:100]
                raise RequestError(
                    f"row {row}: field {self._name!r}: {value!r} is no time: write "
                    f"{self._format.example}, or leave it out for the moment of the request"
                )
