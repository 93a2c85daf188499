"""Which labels a pipeline can use: one rule for the server, the log, the monitor and training."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from perennial.packaging.signature import LARGEST_FLOAT32, Signature, canonical_label
from perennial.spec import Task

_SHOWN = 100
"""Characters of a value that a message quotes."""


class Fault(NamedTuple):
    """Why a value cannot be used."""

    rule: str
    """That it breaks, by a name that stands for all values that break it."""
    why: str
    """In words, with the value."""


@dataclass(frozen=True)
class LabelRule:
    """What a label of a task may be.

    A regression takes finite numbers that a float32 holds; a binary task its two classes; a
    multiclass task any text, number or bool: a new class asks for a retrain by design.
    """

    task: Task
    classes: tuple[str, ...] = ()
    """Of a binary task, as `canonical_label` writes them; empty: they are not known."""

    @classmethod
    def of(cls, signature: Signature) -> LabelRule:
        """The rule of a version."""
        return cls(signature.task, signature.classes if signature.task == "binary" else ())

    def fault(self, value: object) -> Fault | None:
        """Say why a label, as JSON has it, cannot be used; None: it can."""
        if self.task == "regression":
            return _number_fault(value)
        if not isinstance(value, str | bool | int | float) or value == "":
            return Fault("is_class", f"{_shown(value)} is no class: write a text, number or bool")
        if isinstance(value, float) and not math.isfinite(value):
            return Fault("is_class", f"{_shown(value)} is no class: write a finite number")
        if self.classes and canonical_label(value) not in self.classes:
            known = ", ".join(self.classes)
            return Fault("is_class", f"{_shown(value)} is none of the classes {known}")
        return None


def _number_fault(value: object) -> Fault | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return Fault("is_number", f"{_shown(value)} is no number")
    if not abs(value) <= LARGEST_FLOAT32:
        return Fault("is_float32", f"{_shown(value)} is beyond what a float32 holds")
    return None


def _shown(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10**_SHOWN:
        return "a number of more than a hundred digits"  # which Python may refuse to write
    return repr(value)[:_SHOWN]
