"""A person's changes over what was learned.

A learned rule carries ``meta.learned``, its fingerprint as it was learned. One whose fingerprint is
another by now was edited and stays; one without was written by hand and stays; one that was learned
once (the suite's ``meta.learned`` names them all) and is gone was deleted and stays away. So a file
may hold a whole suite, or the few rules that a person wants otherwise.
"""

from __future__ import annotations

from typing import Any, Literal

from perennial.validation.rules import Rule, read_rules

_LEARNED = "learned"


Origin = Literal["learned", "edited", "by hand"]


def merge(edits: dict[str, Any] | None, learned: dict[str, Any]) -> dict[str, Any]:
    """Give the suite in force.

    Args:
        edits: a suite that a person may have changed; None: there is none.
        learned: the newest one from `learn_suite`.

    Raises:
        ValidationFailed: one of them is no suite.
    """
    fresh = {rule.name: rule for rule in read_rules(learned)}
    standing = read_rules(edits) if edits is not None else ()
    before = _learned_before(edits)
    kept: list[dict[str, Any]] = []
    taken = set()
    for rule in standing:
        if origin(rule) != "learned":
            kept.append(rule.model_dump())
            taken.add(rule.name)
        elif rule.name in fresh:
            kept.append(_marked(fresh[rule.name]))
            taken.add(rule.name)
    kept += [
        _marked(rule) for name, rule in fresh.items() if name not in taken and name not in before
    ]
    meta = {**(edits or {}).get("meta", {}), **learned.get("meta", {})}
    meta[_LEARNED] = sorted(before | set(fresh))
    return {**(edits or learned), "expectations": kept, "meta": meta}


def origin(rule: Rule) -> Origin:
    """Where a rule of a suite in force came from."""
    mark = rule.meta.get(_LEARNED)
    if mark is None:
        return "by hand"
    return "learned" if mark == rule.print else "edited"


def deleted(suite: dict[str, Any]) -> list[str]:
    """Names of the rules that were learned once and that a person took out of a suite in force."""
    return sorted(_learned_before(suite) - {rule.name for rule in read_rules(suite)})


def _learned_before(suite: dict[str, Any] | None) -> set[str]:
    return set((suite or {}).get("meta", {}).get(_LEARNED, ()))


def _marked(rule: Rule) -> dict[str, Any]:
    data = rule.model_dump()
    data["meta"] = {**data["meta"], _LEARNED: rule.print}
    return data
