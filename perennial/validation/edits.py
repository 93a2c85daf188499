"""Learn a suite again and keep what a person changed in it.

A learned rule carries ``meta.learned``, its fingerprint as it was learned. One whose fingerprint is
another by now was edited and stays; one without was written by hand and stays; one that was learned
once (the suite's ``meta.learned`` names them all) and is gone was deleted and stays away.
"""

from __future__ import annotations

from typing import Any

from perennial.validation.rules import Rule, read_rules

_LEARNED = "learned"


def merge(old: dict[str, Any] | None, learned: dict[str, Any]) -> dict[str, Any]:
    """Give the suite that is to stand.

    Args:
        old: the suite that stands; None: there is none.
        learned: a fresh one from `learn_suite`.

    Raises:
        ValidationFailed: the old one is no suite.
    """
    fresh = {rule.name: rule for rule in read_rules(learned)}
    standing = read_rules(old) if old is not None else ()
    before = set((old or {}).get("meta", {}).get(_LEARNED, ()))
    kept: list[dict[str, Any]] = []
    taken = set()
    for rule in standing:
        if is_edited(rule):
            kept.append(rule.model_dump())
            taken.add(rule.name)
        elif rule.name in fresh:
            kept.append(_marked(fresh[rule.name]))
            taken.add(rule.name)
    kept += [
        _marked(rule) for name, rule in fresh.items() if name not in taken and name not in before
    ]
    meta = {**(old or {}).get("meta", {}), **learned["meta"]}
    meta[_LEARNED] = sorted(before | set(fresh))
    return {**(old or learned), "expectations": kept, "meta": meta}


def is_edited(rule: Rule) -> bool:
    """Whether a person wrote or changed a rule."""
    return rule.meta.get(_LEARNED) != rule.print


def _marked(rule: Rule) -> dict[str, Any]:
    data = rule.model_dump()
    data["meta"] = {**data["meta"], _LEARNED: rule.print}
    return data
