"""In what two versions differ."""

from __future__ import annotations

from typing import Any, NamedTuple

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
        Line("score", *(_score(m.metrics) for m in (left, right))),
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


def _score(metrics: dict[str, Any]) -> str:
    score, low, high = (metrics.get(name) for name in ("score", "low", "high"))
    if score is None:
        return ""
    interval = "" if low is None or high is None else f" ({low:.4g} to {high:.4g})"
    return f"{metrics.get('metric')} {score:.4g}{interval}"


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
