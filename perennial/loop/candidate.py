"""A candidate: models made of labelled rows, with what its gate needs and what makes it again.

A model that begins a mixture is found by a trial, which has not seen the newest rows: the family
and its rounds; the gate judges the trial, and what would serve is made in the same way from all
rows. A mixture that goes on with the champion's gets new small models and new shares, and at a
retrain new trained ones beside the first; these are judged as they would serve.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import pandas as pd

from perennial.evaluation.division import Division
from perennial.evaluation.mixing import BASES, Mixture, weigh
from perennial.loop.meter import Meter, Stopwatch
from perennial.loop.recipe import RowSplit, due_bases
from perennial.loop.versions import Answering, Champion
from perennial.packaging.parity import Parity, check_parity
from perennial.packaging.predictor import Packaged, encode_frame
from perennial.registry import Lineage, Recipe
from perennial.spec import BaseName, Depth, EstimatorName, PipelineSpec

if TYPE_CHECKING:
    from perennial.training.mixture import MixedModel
    from perennial.training.train import FamilyScore, Fitted

REFERENCE_ROWS = 5_000


@dataclass(frozen=True, eq=False)
class Candidate:
    """What was made, of what, and how."""

    depth: Depth
    estimator: str
    recipe: Recipe
    rows: RowSplit
    model: Packaged
    """What would serve."""
    trial: Answering
    """What the gate judges: it has not learned from the rows that judge."""
    rival: Packaged | None
    """What it is held against; None: the champion as it answers, if there is one."""
    rematch: bool
    """Whether that is the champion's trial: rows have hardly come since the champion was made."""
    against: str | None
    """The champion that it is held against; None: it is a first version."""
    anew: bool
    """Whether it begins a mixture of its own."""
    bases: dict[BaseName, str]
    """The versions whose trained graphs it has taken over."""
    refitted: dict[BaseName, Packaged]
    """Trained graphs that were made for it beside the first one."""
    source: tuple[str, bytes] | None
    """Name and content of the file with the trained model as its library has it; None: it begins no
    mixture."""
    reference: pd.DataFrame
    """Rows that its newest trained graph has learned from, thinned out: what drift is measured
    against."""
    usual_rows: int
    """Rows that the pipeline's first version was trained on."""
    parity: Parity
    """How far the packaged answers lie from those of what they were made of."""
    kept: Packaged | None = None
    """The trial of a model that begins a mixture: later candidates may have to be held against
    it."""
    refusal: str | None = None
    """Why there is nothing to judge; None: there is."""
    scores: tuple[FamilyScore, ...] = ()
    """Of the families that were declared, where they competed."""
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    """That making it took."""


def make_candidate(
    frame: pd.DataFrame,
    spec: PipelineSpec,
    division: Division,
    champion: Champion | None,
    *,
    depth: Depth = "retrain",
    mixture: Mixture | None = None,
    meter: Meter | None = None,
) -> Candidate:
    """Make a candidate.

    Args:
        frame: all labelled rows, in time order.
        division: of these rows, against this champion.
        champion: None: it is to be the first version.
        mixture: shares of the members; None: there is no evidence yet.
        meter: what counts the work.

    Raises:
        TrainingError: there is nothing to learn from.
        ModelError: a graph of the champion cannot be loaded or run.
    """
    meter = meter or Meter()
    if champion is None or division.anew:
        return _begin(frame, spec, division, champion, meter)
    shares = mixture or weigh([], spec.policy.harm)
    return _go_on(frame, spec, division, champion, depth, shares, meter)


def make_again(
    frame: pd.DataFrame,
    spec: PipelineSpec,
    lineage: Lineage,
    bases: dict[BaseName, Packaged],
) -> bytes:
    """Make the graph of a version by its recipe: the same bytes, where all inputs are the same.

    Args:
        frame: the rows of its snapshot.
        spec: as it was in force.
        bases: the trained graphs that it has taken over.
    """
    from perennial.training.train import fit

    recipe = lineage.recipe
    estimator = cast(EstimatorName, lineage.estimator)
    if not bases:
        return _package(fit(frame, spec, estimator, rounds=recipe.rounds)).graph
    rows = RowSplit(frame, recipe.head_rows, recipe.judged_rows)
    made = _refit(rows, spec, bases["first"], estimator, recipe.bases, recipe.rounds, Meter())
    graphs = {**bases, **{name: _package(fitted) for name, fitted in made.items()}}
    return _mix(graphs, rows.to_heal, spec, Mixture(**recipe.shares), Meter()).packaged.graph


def _begin(
    frame: pd.DataFrame,
    spec: PipelineSpec,
    division: Division,
    champion: Champion | None,
    meter: Meter,
) -> Candidate:
    """Let the declared families compete, and make the best one of all rows."""
    from perennial.training.estimator import load_estimator
    from perennial.training.source import dump_source
    from perennial.training.train import fit, train

    for name in spec.model.estimators:
        load_estimator(name)  # what a first import takes is no work of a fit
    watch = Stopwatch()
    rows = RowSplit(frame, 0, division.judged)
    with meter.counted():
        trained = train(rows.before_judged, spec, refits=2)
    known = [score.estimator for score in trained.scores if score.skipped is None]
    meter.fits += len(known)
    rounds = trained.model.rounds
    with meter.counted(fits=1):
        fitted = fit(frame, spec, trained.estimator, rounds=rounds)
    trial, model = _package(trained), _package(fitted)
    parity = _check(model, fitted, frame)
    return Candidate(
        depth="retrain",
        estimator=fitted.estimator,
        recipe=Recipe(
            estimators=tuple(known),
            rounds=rounds,
            trained_rows=len(frame),
            bases={"first": len(frame)},
            trial_rows=trained.rows,
            judged_rows=division.judged,
        ),
        rows=rows,
        model=model,
        trial=trial.predictor,
        rival=champion.trial if champion is not None and division.rematch else None,
        rematch=division.rematch,
        against=None if champion is None else champion.name,
        anew=True,
        bases={},
        refitted={},
        source=dump_source(fitted.estimator, fitted.model),
        reference=_thin_out(frame),
        usual_rows=len(frame) if champion is None else champion.metrics.usual_rows,
        parity=parity,
        kept=trial,
        refusal=_same_again(model, champion),
        scores=trained.scores,
        seconds=watch.seconds,
        cpu_seconds=watch.cpu_seconds,
    )


def _go_on(
    frame: pd.DataFrame,
    spec: PipelineSpec,
    division: Division,
    champion: Champion,
    depth: Depth,
    mixture: Mixture,
    meter: Meter,
) -> Candidate:
    """Fit small models anew, at a retrain trained ones too, and give all of them their shares."""
    from perennial.training.estimator import load_estimator
    from perennial.training.mixture import StandingMixture

    # The family that was best at first is one member; others beside it err elsewhere.
    estimator = spec.model.estimators[0]
    begun = champion.base.lineage
    rounds = begun.recipe.rounds if begun.estimator == estimator else None
    load_estimator(estimator)
    graphs = champion.graphs
    watch = Stopwatch()
    rows = RowSplit(frame, division.heads, division.judged)
    before = rows.before_judged
    due = due_bases(before, spec, champion) if depth == "retrain" else {}
    refitted = _refit(rows, spec, graphs["first"], estimator, due, rounds, meter)
    made = {name: _package(fitted) for name, fitted in refitted.items()}
    bases = {**graphs, **made}
    model = _mix(bases, rows.to_heal, spec, mixture, meter)
    parities = [
        _check(made[name], fitted, before.iloc[len(before) - due[name] :])
        for name, fitted in refitted.items()
    ]
    parities.append(model.check(rows.to_heal if division.heads else before))
    trial: Answering
    if len(champion.members.names) > len(champion.bases):
        trial = StandingMixture(bases, champion.members, mixture)
    else:
        trial = _mix(bases, rows.to_try, spec, mixture, meter)
    seconds, cpu_seconds = watch.seconds, watch.cpu_seconds
    learned = max(due.values(), default=0)
    return Candidate(
        depth=depth,
        estimator=estimator,
        recipe=Recipe(
            rounds=rounds if due else None,
            trained_rows=learned or division.heads,
            bases=due,
            head_rows=division.heads,
            trial_rows=learned or len(rows.to_try),
            judged_rows=division.judged,
            shares=model.shares,
        ),
        rows=rows,
        model=model.packaged,
        trial=trial,
        rival=None,
        rematch=False,
        against=champion.name,
        anew=False,
        bases={
            name: manifest.version for name, manifest in champion.bases.items() if name not in made
        },
        refitted=made,
        source=None,
        reference=_thin_out(before.iloc[len(before) - learned :]) if due else champion.reference,
        usual_rows=champion.metrics.usual_rows,
        parity=max(parities, key=lambda parity: sum(check.off for check in parity.checks)),
        seconds=seconds,
        cpu_seconds=cpu_seconds,
    )


def _refit(
    rows: RowSplit,
    spec: PipelineSpec,
    first: Packaged,
    estimator: EstimatorName,
    counts: Mapping[BaseName, int],
    rounds: int | None,
    meter: Meter,
) -> dict[BaseName, Fitted]:
    """Train the models that stand beside the first one, each on so many of the newest rows."""
    from perennial.training.train import refit

    with meter.counted(fits=len(counts)):
        return {
            name: refit(
                rows.before_judged, spec, first.signature, estimator, rows=count, rounds=rounds
            )
            for name, count in counts.items()
        }


def _mix(
    graphs: dict[BaseName, Packaged],
    newest: pd.DataFrame,
    spec: PipelineSpec,
    mixture: Mixture,
    meter: Meter,
) -> MixedModel:
    """Put small models of the newest rows beside trained ones; of no rows there are none."""
    from perennial.training.mixture import MixedModel, fit_on

    with meter.counted(fits=bool(len(newest))):
        heads = fit_on(newest, spec, graphs["first"]) if len(newest) else ()
    return MixedModel({name: graphs[name] for name in BASES if name in graphs}, heads, mixture)


def _same_again(model: Packaged, champion: Champion | None) -> str | None:
    """Say so where a new model is what the champion is, or what it began with."""
    if champion is None or model.signature != champion.signature:
        return None
    if model.graph not in (champion.graph, champion.trained.graph):
        return None
    return "the same model again: nothing has changed since that would make another"


def _package(fitted: Fitted) -> Packaged:
    from perennial.packaging.export import export

    return Packaged(export(fitted.model, fitted.signature), fitted.signature)


def _check(base: Packaged, fitted: Fitted, rows: pd.DataFrame) -> Parity:
    inputs = encode_frame(base.signature, rows)
    return check_parity(base.graph, base.signature, fitted.model.predict, *inputs)


def _thin_out(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows evenly drawn."""
    return frame.iloc[:: max(1, -(-len(frame) // REFERENCE_ROWS))]
