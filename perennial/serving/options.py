"""How a server runs: limits, intervals, bounds.

Every option has an environment variable, PERENNIAL_SERVE_ and the name in capitals:
``PERENNIAL_SERVE_MAX_ROWS=5000``.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from perennial.errors import StackError

PREFIX = "PERENNIAL_SERVE_"


class ServingOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Limits and intervals of one server; sizes in bytes, times in seconds."""

    max_body: int = 64 * 1024 * 1024
    """Bytes of a request's body, also after decompression; beyond it 413."""
    max_rows: int = 100_000
    """Rows of one request; beyond it 422."""
    max_requests: int = 512
    """Requests at a time in one worker; beyond it 503."""
    max_connections: int = 4096
    """Connections of one worker; beyond it those are closed that have waited longest, for the rest
    of a head first."""
    max_buffered: int = 512 * 1024 * 1024
    """Bytes of all bodies that one worker holds; beyond it 503."""
    deadline: float = 30.0
    """Time for a request to arrive, beyond it 408; and from then to its answer, beyond it 503."""
    head_deadline: float = 10.0
    """Time for the head of a request to arrive; beyond it 408."""
    idle: float = 75.0
    """How long a connection without a request stays open."""
    offload: int = 32 * 1024
    """Bodies from this size on are answered in a thread, so that small requests pass them."""
    max_large: int = 64
    """Large requests that may wait in one worker; beyond it 503."""
    segment_size: int = 8 * 1024 * 1024
    """A log segment that has grown to this is sealed."""
    segment_age: float = 1.0
    """A log segment that is this old is sealed; one of few rows, while more come, when it is ten
    times as old."""
    log_bound: int = 1024 * 1024 * 1024
    """Bytes of log that may wait for the store; beyond it predictions and feedback get 503."""
    poll: float = 0.5
    """How often state.json is looked at."""
    shadow_queue: int = 64
    """Shadow requests that may wait in one worker; beyond it they are dropped and counted."""
    older_runtime: bool = False
    """Whether versions are served that passed their gate on a newer release of onnxruntime."""
    access_log: bool = False
    """Whether every request is a line in the log, not only those that failed."""
    drain: float = 10.0
    """How long a shutdown waits for the requests it took."""

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> ServingOptions:
        """Read the variables above; what is not set keeps its default.

        Raises:
            StackError: an option is unknown, no number, or not above zero.
        """
        given = {
            key.removeprefix(PREFIX).lower(): value
            for key, value in environ.items()
            if key.startswith(PREFIX)
        }
        unknown = given.keys() - set(cls.__struct_fields__)
        if unknown:
            names = ", ".join(PREFIX + name.upper() for name in cls.__struct_fields__)
            raise StackError(
                f"{PREFIX}{min(unknown).upper()} is no option of the server; known: {names}"
            )
        try:
            options = msgspec.convert(given, cls, strict=False)
        except msgspec.ValidationError as error:
            raise StackError(f"{_variable_in(error)}: {error}") from None
        for name in cls.__struct_fields__:
            value = getattr(options, name)
            if not isinstance(value, bool) and not value > 0:
                raise StackError(f"{PREFIX}{name.upper()} must be above zero")
        return options


def variables() -> str:
    """List the variables and their defaults, one a line, for a command's help."""
    defaults = msgspec.to_builtins(ServingOptions())
    return "\n".join(f"  {PREFIX}{name.upper()}={value}" for name, value in defaults.items())


def _variable_in(error: msgspec.ValidationError) -> str:
    """Name the variable that msgspec complains about: its message ends with its path."""
    return PREFIX + str(error).rpartition("$.")[2].strip("`").upper()
