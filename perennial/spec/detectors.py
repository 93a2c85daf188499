"""Which of a policy's detectors can look here: some need a package that not every Python has."""

from __future__ import annotations

from importlib.util import find_spec

from perennial.spec.names import DetectorName
from perennial.spec.policy import Policy

_NEEDS: dict[DetectorName, str] = {"tabular": "alibi-detect"}
_ELSE: DetectorName = "moments"


def usable(policy: Policy) -> Policy:
    """Leave out the detectors that cannot look here; `moments` looks where none is left."""
    kept = tuple(name for name in policy.detectors if not _lacks(name)) or (_ELSE,)
    return policy if kept == policy.detectors else policy.model_copy(update={"detectors": kept})


def unusable(policy: Policy) -> str | None:
    """Say which detector cannot look here, why, and what goes on; None: all can."""
    absent = [f"{name} needs {_NEEDS[name]}" for name in policy.detectors if _lacks(name)]
    if not absent:
        return None
    return (
        f"policy.detectors: {' and '.join(absent)}, which is not installed (it has no release for "
        f"Python 3.13 and later): {' and '.join(usable(policy).detectors)} looks without it"
    )


def _lacks(name: DetectorName) -> bool:
    package = _NEEDS.get(name)
    return package is not None and find_spec(package.replace("-", "_")) is None
