"""The page of one version: what it is, what it was made of, what it showed (Mitchell et al.,
"Model cards for model reporting", FAT* 2019)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import jinja2

from perennial.datasets.dates import in_words
from perennial.datasets.snapshot import Snapshot
from perennial.drift.reasons import parts_of
from perennial.drift.record import Check
from perennial.evaluation.decision import GateDecision
from perennial.evaluation.mixing import Mixture
from perennial.packaging.signature import Signature
from perennial.registry import Manifest
from perennial.registry.comparison import gate_text, rows_text
from perennial.report import gate
from perennial.spec import PipelineSpec

_FEATURES_SHOWN = 100


@dataclass(frozen=True)
class Section:
    """A heading, some text, and a table."""

    heading: str
    text: str = ""
    header: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()


@dataclass(frozen=True)
class Card:
    """A page before it has a format."""

    title: str
    lead: str
    sections: tuple[Section, ...]


def build_card(
    manifest: Manifest,
    spec: PipelineSpec,
    signature: Signature,
    snapshot: Snapshot,
    decision: GateDecision,
    check: Check | None,
) -> Card:
    """Tell of one version.

    Args:
        decision: of its gate.
        check: the verdicts that asked for it; None where nobody but a person did.
    """
    verdict = "passed its gate" if decision.passed else "was refused by its gate"
    lineage = manifest.lineage
    return Card(
        title=f"{manifest.pipeline} {manifest.version}",
        lead=f"{lineage.estimator}, made on {manifest.created_at:%Y-%m-%d %H:%M:%S} UTC. It "
        f"{verdict}: {decision.reason}.",
        sections=(
            _use(spec, signature),
            _data(manifest, snapshot),
            _metrics(manifest),
            _gates(decision),
            _slices(decision),
            _cause(manifest, check),
            _lineage(manifest),
        ),
    )


def _use(spec: PipelineSpec, signature: Signature) -> Section:
    second = signature.classes[-1] if signature.classes else ""
    goal = {
        "regression": f"Predicts the number {spec.target!r}",
        "binary": f"Gives the probability that {spec.target!r} is {second!r}",
        "multiclass": f"Gives a probability to each class of {spec.target!r}",
    }[spec.task]
    shown = signature.features[:_FEATURES_SHOWN]
    more = len(signature.features) - len(shown)
    text = (
        f"{goal} for one row of the pipeline {spec.name}, from the fields below; a field left out "
        f"is a missing value. It is judged by {spec.metric} on rows as the stream brings them, in "
        "order; it says nothing of rows from elsewhere, of causes, or of what an intervention "
        "would do."
    )
    if signature.context:
        text += f" A request may carry, unused: {', '.join(signature.context)}."
    if more:
        text += f" {more} more fields are not shown."
    rows = [(feature.name, feature.kind) for feature in shown]
    return Section("Intended use", text, ("field", "kind"), rows)


def _data(manifest: Manifest, snapshot: Snapshot) -> Section:
    recipe = manifest.lineage.recipe
    rows = [
        ("snapshot", snapshot.sha256),
        ("source", snapshot.source),
        ("labelled rows", f"{snapshot.rows:,}"),
        ("taken", f"{snapshot.created_at:%Y-%m-%d %H:%M:%S} UTC"),
    ]
    shares = parts_of(Mixture(**recipe.shares)) if recipe.shares else "one model alone"
    made = [f"{name} on {count:,} rows" for name, count in recipe.bases.items()]
    if recipe.head_rows:
        made.append(f"small models on {recipe.head_rows:,} rows")
    taken = ", ".join(f"{name} of {of}" for name, of in manifest.lineage.bases.items())
    rows += [
        ("answers", shares),
        ("trained for it", ", ".join(made)),
        ("taken over", taken or "nothing"),
        ("its trial", f"learned from {recipe.trial_rows:,} rows"),
        ("the trial's judges", f"the newest {recipe.judged_rows:,} rows"),
    ]
    return Section("Data", "", ("what", "value"), rows)


def _metrics(manifest: Manifest) -> Section:
    told = manifest.metrics
    score, low, high = (told.get(name) for name in ("score", "low", "high"))
    interval = "" if low is None or high is None else f"{low:.4g} to {high:.4g}"
    figure = "undefined" if score is None else f"{score:.4g}"
    return Section(
        "Metrics",
        "On the newest labelled rows, from which it had not learned; a version measured on others "
        "is no match for it, only the champion of its time, which answered the same ones. The "
        "interval is at 90% confidence, from a bootstrap over blocks of neighbouring rows.",
        ("metric", "value", "interval", "rows", "against the champion then"),
        [(str(told.get("metric")), figure, interval, rows_text(told), gate_text(told) or "none")],
    )


def _gates(decision: GateDecision) -> Section:
    told = " ".join(sentence.replace("**", "") for sentence in gate.lead(decision))
    return Section("Gates", told, gate.HEADER, gate.check_rows(decision))


def _slices(decision: GateDecision) -> Section:
    rows = [
        (
            part.label,
            "declared" if part.declared else "found",
            f"{part.rows:,}",
            _number(part.loss),
            _number(part.champion),
            "" if part.change is None else f"{part.change:+.1%}",
            "REFUSED" if part.refused else "",
        )
        for part in decision.slices
    ]
    header = ("slice", "how", "rows", "loss", "champion's", "change", "")
    text = "The declared ones and the worst that were found." if rows else "None has enough rows."
    return Section("Slices", text, header if rows else (), rows)


def _cause(manifest: Manifest, check: Check | None) -> Section:
    lineage = manifest.lineage
    text = f"{lineage.reason} (asked in {lineage.run})."
    if check is None:
        return Section("What led to it", text)
    which = in_words(check.window, check.dates)
    rows = [
        ("window", f"{which}, {check.rows:,} rows, champion {check.champion}"),
        ("decision", check.decision.reason),
    ]
    if check.input is not None:
        shifted = ", ".join(f"{v.label} ({v.effect:.2f})" for v in check.input.culprits)
        rows.append(("shifted features (effect)", shifted or "none"))
    rows += [
        (
            f"loss in {in_words(v.window, {check.window: check.dates})}, times its reference",
            f"{v.ratio:.2f} ({max(v.low, 0):.2f} to {v.high:.2f})",
        )
        for v in check.losses
    ]
    return Section("What led to it", text, ("what", "value"), rows)


def _lineage(manifest: Manifest) -> Section:
    lineage = manifest.lineage
    known = {
        "parent": lineage.parent,
        "verdict": lineage.cause,
        "spec": lineage.spec,
        "code": lineage.code,
        "commit": lineage.revision,
        "sources": lineage.sources,
        "environment": lineage.lock,
        "seed": str(lineage.seed),
        "threads": str(lineage.threads),
        "graph": str(manifest.runtime),
        "made with": ", ".join(f"{k} {v}" for k, v in lineage.environment.items()),
    }
    text = f"'perennial reproduce {manifest.pipeline} {manifest.version}' trains it again."
    rows = [(what, value) for what, value in known.items() if value]
    return Section("Lineage", text, ("what", "value"), rows)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def as_markdown(card: Card) -> str:
    """Write the page as markdown."""
    parts = [f"# {card.title}", card.lead]
    for section in card.sections:
        parts.append(f"## {section.heading}")
        if section.text:
            parts.append(section.text)
        if section.rows:
            lines = [section.header, ["---"] * len(section.header), *section.rows]
            parts.append("\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines))
    return "\n\n".join(parts) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def as_html(card: Card) -> str:
    """Write the page as HTML with everything inside: it opens anywhere, offline."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("perennial.report"), autoescape=True, trim_blocks=True
    )
    return environment.get_template("card.html").render(card=card)
