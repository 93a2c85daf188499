"""Features that tell the target in training and will not in service.

Looked for in the rows that a training used and in those that its gate holds out:

- a feature that alone tells the target nearly without error (`alone`), or a part of it does, in
  text or digits (`hidden`), or it does on a part of the rows (`partly`),
- one that is made of the target's present or later values (`window`, `shifted`),
- an identifier or row number whose order, or a group whose rows tell the target (`identifiers`),
- two or three features that make up the target (`together`),
- rows held out that stand in the training too (`duplicates`),
- one that was not there, or told less, when the row was answered (`served`).

A model without an error is told of, too, with the feature that tells most (`check`).

A strong feature is not a leak where the past explains it: what repeats or averages truths that were
known by then is held against the past, not against chance.
"""

from perennial.evaluation.leakage.check import hardly_errs, leakage_check, too_good_check
from perennial.evaluation.leakage.find import DUPLICATES, find_leaks, strongest_of
from perennial.evaluation.leakage.served import changed_later, filled_later

__all__ = [
    "DUPLICATES",
    "changed_later",
    "filled_later",
    "find_leaks",
    "hardly_errs",
    "leakage_check",
    "strongest_of",
    "too_good_check",
]
