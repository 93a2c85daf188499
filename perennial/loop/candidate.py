"""A candidate: a model made of labelled rows, with what its gate needs and what makes it again.

A trial, which has not seen the newest rows, finds out what is to be made: of a new base the family,
its rounds, and whether heads help it; and the gate judges that trial. What would serve is made in
the same way from all rows: holding rows out for good would cost a model the newest there are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import pandas as pd

from perennial.evaluation.division import Division
from perennial.evaluation.mixing import HEADS, HeadTrial, Mixture
from perennial.evaluation.span import TrainingSpan
from perennial.loop.meter import Meter, Stopwatch
from perennial.loop.recipe import RowSplit, choose_rows
from perennial.loop.versions import Champion
from perennial.packaging.parity import Parity, check_parity
from perennial.packaging.predictor import Packaged, encode_frame
from perennial.registry import Lineage, Recipe
from perennial.spec import Cure, EstimatorName, HeadName, PipelineSpec

if TYPE_CHECKING:
    from perennial.training.heads.heal import Tried
    from perennial.training.train import FamilyScore, Fitted

REFERENCE_ROWS = 5_000


@dataclass(frozen=True, eq=False)
class Candidate:
    """What was made, of what, and how."""

    depth: Cure
    estimator: str
    recipe: Recipe
    rows: RowSplit
    model: Packaged
    """What would serve."""
    base: Packaged
    """The trained graph in it, without a head."""
    trial: Packaged
    """What the gate judges: it has not learned from the rows that judge."""
    rival: Packaged | None
    """What it is held against; None: the champion as it answers, if there is one."""
    rematch: bool
    """Whether that is the champion's trial: rows have hardly come since the champion was made."""
    against: str | None
    """The champion that it is held against; None: it is a first version."""
    stands_on: str | None
    """The version whose trained graph it has taken over; None: it was trained anew."""
    source: tuple[str, bytes] | None
    """Name and content of the file with the trained model as its library has it; None: it was not
    trained anew."""
    reference: pd.DataFrame
    """Rows that the base was trained on, thinned out: what drift is measured against."""
    usual_rows: int
    """Rows that the pipeline's first version was trained on."""
    parity: Parity
    """How far the packaged answers lie from those of what they were made of."""
    kept: Packaged | None = None
    """The trained graph of the trial, where the base was made anew of all rows: later candidates
    may have to be held against it."""
    refusal: str | None = None
    """Why there is nothing to judge; None: there is."""
    trials: tuple[HeadTrial, ...] = ()
    """By which a new base's heads have earned their shares."""
    scores: tuple[FamilyScore, ...] = ()
    """Of the families that were declared, where a base was trained."""
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    """That making it took."""

    @property
    def span(self) -> TrainingSpan:
        """What it learned from."""
        return TrainingSpan(self.recipe.trained_rows, self.recipe.half_life)


def make_candidate(
    frame: pd.DataFrame,
    spec: PipelineSpec,
    division: Division,
    champion: Champion | None,
    *,
    depth: Cure = "retrain",
    mixture: Mixture | None = None,
    meter: Meter | None = None,
) -> Candidate:
    """Make a candidate: a new base, or a new head on the champion's, or that without a head.

    A head that the champion has is replaced: there is never more than one on a base.

    Args:
        frame: all labelled rows, in time order.
        division: of these rows, against this champion.
        champion: None: it is to be the first version.
        mixture: shares of the heads that are put on the champion's base; None: it stays bare.
        meter: what counts the work.

    Raises:
        TrainingError: there is nothing to learn from.
        ModelError: the champion's base cannot be loaded or run.
    """
    meter = meter or Meter()
    if depth == "retrain":
        return _retrain(frame, spec, division, champion, meter)
    assert champion is not None
    return _heal(frame, spec, division, champion, depth, mixture, meter)


def make_again(
    frame: pd.DataFrame, spec: PipelineSpec, lineage: Lineage, base: Packaged | None
) -> bytes:
    """Make the graph of a version by its recipe: the same bytes, where all inputs are the same.

    Args:
        frame: the rows of its snapshot.
        spec: as it was in force.
        base: the trained graph that it has taken over; None: it was trained anew.
    """
    from perennial.training.heads.heal import heal
    from perennial.training.train import fit

    recipe, rows = lineage.recipe, RowSplit.of(frame, lineage.recipe)
    mixture = Mixture(**recipe.shares) if recipe.shares else None
    if base is not None:
        return heal(rows.all, spec, base, mixture).packaged.graph
    fitted = fit(
        rows.before_held if recipe.head_rows else rows.all,
        spec,
        cast(EstimatorName, lineage.estimator),
        rounds=recipe.rounds,
        half_life=recipe.half_life,
    )
    return heal(rows.held_rows, spec, _package(fitted), mixture).packaged.graph


def _retrain(
    frame: pd.DataFrame,
    spec: PipelineSpec,
    division: Division,
    champion: Champion | None,
    meter: Meter,
) -> Candidate:
    from perennial.training.estimator import load_estimator
    from perennial.training.heads.heal import heal, try_on
    from perennial.training.source import dump_source
    from perennial.training.train import fit, train

    for name in spec.model.estimators:
        load_estimator(name)  # what a first import takes is no work of a fit
    watch = Stopwatch()
    with meter.counted():
        choice = choose_rows(frame, spec, division, champion)
    span = choice.span
    first = len(frame) - division.held - span.rows
    rows = RowSplit(frame, first, division.held, division.judged)
    with meter.counted():
        fitted: Fitted
        fitted = trained = train(
            rows.before_held, spec, half_life=span.half_life, spent=watch.seconds, refits=2
        )
    known = [score.estimator for score in trained.scores if score.skipped is None]
    meter.fits += len(choice.tried) + len(known)
    base = trial = _package(trained)
    tried: Tried | None = None
    rival: Packaged | None = None
    kept: Packaged | None = None
    if champion is not None and division.rematch:
        rival = champion.trial
    if champion is not None and division.heads:
        with meter.counted(fits=2):
            tried = try_on(rows.to_try, rows.to_judge, spec, base, trained_graph(champion))
        trial, rival = tried.trial, tried.rival
    mixture = tried.mixture if tried is not None and tried.mixture.counts else None
    if mixture is None:
        with meter.counted(fits=1):
            fitted = fit(
                rows.all,
                spec,
                trained.estimator,
                rounds=trained.model.rounds,
                half_life=span.half_life,
            )
        kept, base = base, _package(fitted)
    with meter.counted(fits=mixture is not None):
        healed = heal(rows.held_rows, spec, base, mixture)
    learned = rows.all if mixture is None else rows.before_held
    parity = _check(base, fitted, learned)
    if mixture is not None:
        parity = _worse(parity, healed.check(rows.held_rows))
    seconds, cpu_seconds = watch.seconds, watch.cpu_seconds
    return Candidate(
        depth="retrain",
        estimator=fitted.estimator,
        recipe=Recipe(
            estimators=tuple(known),
            rounds=fitted.model.rounds,
            trained_rows=len(learned),
            half_life=span.half_life,
            head_rows=0 if mixture is None else division.held,
            trial_rows=trained.rows,
            judged_rows=division.judged,
            shares=_shares(mixture),
        ),
        rows=rows,
        model=healed.packaged,
        base=base,
        trial=trial,
        rival=rival,
        rematch=division.rematch,
        against=None if champion is None else champion.name,
        stands_on=None,
        source=dump_source(fitted.estimator, fitted.model),
        reference=_thin_out(learned),
        usual_rows=len(learned) if champion is None else champion.metrics.usual_rows,
        parity=parity,
        kept=kept,
        refusal=_same_again(healed.packaged, champion),
        trials=() if tried is None else tried.trials,
        scores=trained.scores,
        seconds=seconds,
        cpu_seconds=cpu_seconds,
    )


def _heal(
    frame: pd.DataFrame,
    spec: PipelineSpec,
    division: Division,
    champion: Champion,
    depth: Cure,
    mixture: Mixture | None,
    meter: Meter,
) -> Candidate:
    from perennial.training.heads.heal import heal

    rows = RowSplit(frame, len(frame) - division.held, division.held, division.judged)
    base = trained_graph(champion)
    watch = Stopwatch()
    with meter.counted(fits=2 * (mixture is not None)):
        healed = heal(rows.all, spec, base, mixture)
        trial = heal(rows.to_try, spec, base, mixture)
    parity = healed.check(rows.all)
    seconds, cpu_seconds = watch.seconds, watch.cpu_seconds
    return Candidate(
        depth=depth,
        estimator=champion.base.lineage.estimator,
        recipe=Recipe(
            trained_rows=division.held,
            trial_rows=division.held - division.judged,
            judged_rows=division.judged,
            shares=_shares(mixture),
        ),
        rows=rows,
        model=healed.packaged,
        base=base,
        trial=trial.packaged,
        rival=None,
        rematch=False,
        against=champion.name,
        stands_on=champion.base.version,
        source=None,
        reference=champion.reference,
        usual_rows=champion.metrics.usual_rows,
        parity=parity,
        seconds=seconds,
        cpu_seconds=cpu_seconds,
    )


def _same_again(model: Packaged, champion: Champion | None) -> str | None:
    """Say so where a new model is what the champion is, or what it stands on."""
    if champion is None or model.signature != champion.signature:
        return None
    if model.graph not in (champion.graph, champion.base_graph):
        return None
    return "the same model again: nothing has changed since that would make another"


def trained_graph(champion: Champion) -> Packaged:
    """The graph that a champion stands on, without a head."""
    return Packaged(champion.base_graph, champion.trained.signature)


def _package(fitted: Fitted) -> Packaged:
    from perennial.packaging.export import export

    return Packaged(export(fitted.model, fitted.signature), fitted.signature)


def _check(base: Packaged, fitted: Fitted, rows: pd.DataFrame) -> Parity:
    inputs = encode_frame(base.signature, rows)
    return check_parity(base.graph, base.signature, fitted.model.predict, *inputs)


def _worse(one: Parity, other: Parity) -> Parity:
    return max(one, other, key=lambda parity: sum(check.off for check in parity.checks))


def _shares(mixture: Mixture | None) -> dict[HeadName, float]:
    if mixture is None:
        return {}
    return {name: share for name, share in zip(HEADS, mixture.shares, strict=True) if share > 0}


def _thin_out(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows evenly drawn."""
    return frame.iloc[:: max(1, -(-len(frame) // REFERENCE_ROWS))]
