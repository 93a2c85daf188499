"""What can go wrong, as one tree.

    PerennialError
    +-- SpecError               a pipeline.yaml (or a flow's parameters) says something impossible
    +-- SourceError             the stream cannot be read, or lacks what the spec names
    +-- StoreError              the object store refuses, or is unfit
    |   +-- NotFound            no such object
    |   +-- Conflict            a conditional write lost: somebody else was first
    |   +-- Damaged             an object is not what Perennial wrote under its key
    +-- LeaseError              who may change the pipeline
    |   +-- LeaseHeld           another run holds the lease
    |   +-- LeaseLost           this run held the lease and no longer does
    +-- RegistryError           a version cannot take the place that it was made for
    +-- ValidationFailed        a window breaks its expectations
    +-- TrainingError           no estimator could be fitted
    +-- ModelError              a packaged model cannot be loaded, or answers nonsense
    +-- RequestError            rows that the model's signature does not allow
    +-- AlertError              an alert, or the rules for alerts, cannot be understood
    +-- StackError              a server on this machine cannot start or go on, or is not there

Every message says what was wrong, where, and what to do, in one line: the command line prints it as
it stands and exits with 1.
"""

from __future__ import annotations


class PerennialError(Exception):
    """Anything that Perennial raises on purpose."""


class SpecError(PerennialError):
    """A declaration says something impossible."""


class SourceError(PerennialError):
    """A stream cannot be read, or lacks what the spec names."""


class StoreError(PerennialError):
    """The object store refuses, or is unfit."""


class NotFound(StoreError):
    """There is no object under this key."""

    def __init__(self, key: str) -> None:
        super().__init__(f"no object {key!r} in the store")
        self.key = key


class Conflict(StoreError):
    """A conditional write lost against another writer."""

    def __init__(self, key: str) -> None:
        super().__init__(f"{key!r} was changed by somebody else at the same time")
        self.key = key


class Damaged(StoreError):
    """An object in the store is not what Perennial writes under its key."""

    def __init__(self, key: str, fault: str) -> None:
        super().__init__(
            f"{key} cannot be read ({fault}): it was damaged, or another release of Perennial "
            "wrote it"
        )
        self.key = key


class LeaseError(PerennialError):
    """Who may change a pipeline."""


class LeaseHeld(LeaseError):
    """Another run holds the lease."""


class LeaseLost(LeaseError):
    """This run held the lease and no longer does."""


class RegistryError(PerennialError):
    """A version cannot take the place that it was made for."""


class ValidationFailed(PerennialError):
    """A window breaks its expectations."""


class TrainingError(PerennialError):
    """No estimator could be fitted."""


class ModelError(PerennialError):
    """A packaged model cannot be loaded, or answers nonsense."""


class RequestError(PerennialError):
    """Rows that the model's signature does not allow."""


class AlertError(PerennialError):
    """An alert, or the rules for alerts, cannot be understood."""


class StackError(PerennialError):
    """A server on this machine cannot start or go on, or is not there."""
