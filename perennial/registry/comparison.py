"""What versions have shown, and in what two of them differ."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from perennial.registry.history import HistoryEntry
from perennial.registry.manifest import MODEL_FILE, Manifest
from perennial.registry.versions import read_signature
from perennial.store import Store


class Line(NamedTuple):
    """One thing, as it is with either version; "" where it is not known."""

    what: str
    left: str
    right: str


def compare_versions(store: Store, left: Manifest, right: Manifest) -> list[Line]:
    """Put results side by side, then all that is not the same in what they were made of.

    Raises:
        ModelError: a file of either was altered or damaged.
    """
    lines = [
        Line("made", *(f"{m.created_at:%Y-%m-%d %H:%M:%S}" for m in (left, right))),
        Line("score", *(score_text(m.metrics) for m in (left, right))),
        Line("measured on", *(rows_text(m.metrics) for m in (left, right))),
        Line("at its gate", *(gate_text(m.metrics) for m in (left, right))),
        Line("reference loss", *(_promised(m.metrics) for m in (left, right))),
        Line("trained rows", *(str(m.metrics.get("trained_rows", "")) for m in (left, right))),
        Line("size", *(f"{m.files[MODEL_FILE].size / 1e3:.1f} kB" for m in (left, right))),
    ]
    mine, theirs = _inputs(store, left), _inputs(store, right)
    lines += [
        Line(what, mine.get(what, ""), theirs.get(what, ""))
        for what in dict.fromkeys([*mine, *theirs])
        if mine.get(what) != theirs.get(what)
    ]
    return lines


def score_text(metrics: dict[str, Any]) -> str:
    """A version's score with its interval, from its manifest; "" where it is undefined."""
    score, low, high = (metrics.get(name) for name in ("score", "low", "high"))
    if score is None:
        return ""
    interval = "" if low is None or high is None else f" ({low:.4g} to {high:.4g})"
    return f"{metrics.get('metric')} {score:.4g}{interval}"


def rows_text(metrics: dict[str, Any]) -> str:
    """The rows that a score was measured on: a score of others is no match for it."""
    rows = metrics.get("rows")
    if rows is None:
        return ""
    return f"{rows:,} rows" + when_text(metrics.get("first"), metrics.get("last"))


def when_text(first: object, last: object) -> str:
    """From when to when rows are, by ISO times or datetimes; "" where it is not known."""
    if first is None or last is None:
        return ""
    begin, end = (str(moment).replace("T", " ")[:16] for moment in (first, last))
    return f", {begin} to {end}"


def gate_text(metrics: dict[str, Any]) -> str:
    """How a version stood against the champion then, on the same rows."""
    against, change = metrics.get("against"), metrics.get("change")
    if against is None or change is None:
        return "" if against is None else f"not held against {against}"
    return f"loss {change:+.1%} against {against} on the same rows"


def live_text(entries: Iterable[HistoryEntry], version: str) -> str:
    """How a version stood on live traffic, by the newest step of its rollout that saw labels; ""
    where there was none."""
    told = ""
    for entry in entries:
        if entry.version != version or not entry.event.startswith("rollout."):
            continue
        checks = {check["name"]: check for check in entry.details.get("checks", ())}
        loss, rows = checks.get("loss"), entry.details.get("labelled_rows")
        if loss is not None and loss["figure"] is not None and rows:
            stage = entry.details.get("stage")
            rival = "the version before" if stage == "bake" else "the champion then"
            told = f"loss {loss['figure']:+.1%} against {rival} on the same {rows:,} labelled rows"
    return told


def _promised(metrics: dict[str, Any]) -> str:
    mean = (metrics.get("promise") or {}).get("mean")
    return "" if mean is None else f"{mean:.4g}"


def _inputs(store: Store, manifest: Manifest) -> dict[str, str]:
    lineage, signature = manifest.lineage, read_signature(store, manifest)
    told = {
        name: value[:12] if len(value) == 64 else value
        for name, value in lineage.model_dump(mode="json").items()
        if isinstance(value, str)
    }
    told |= {f"release of {name}": release for name, release in lineage.environment.items()}
    told |= {f"field {feature.name}": feature.kind for feature in signature.features}
    return {**told, "classes": ", ".join(signature.classes), "seed": str(lineage.seed)}
