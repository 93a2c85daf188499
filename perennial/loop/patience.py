"""How long labels may stay away before a person is told."""

from __future__ import annotations

from collections.abc import Sequence

_LATE = 2
"""Labels are missing after this many times the windows that they have ever taken, and one more."""
_UNTOLD = 5
"""Where none have ever come: after so many windows more than they are declared to take, twice."""


def told_of_silence(waited: int, lags: Sequence[int], declared: int, most: int) -> str | None:
    """Say for how long a window has waited for its labels, where that is too long; None: it is not.

    Args:
        waited: windows since the one without labels.
        lags: windows that labels have taken before.
        declared: windows that they are declared to take.
        most: windows after which it is too long in any case.
    """
    if lags:
        patience, words = _LATE * max(lags) + 1, f"{max(lags)} at most before"
    else:
        patience, words = _LATE * declared + _UNTOLD, "none have come yet"
    return f"{waited} windows ago; {words}" if waited > min(patience, most) else None
