"""Versions as the loop looks at them: what they answer, what they showed, what they stand on."""

from __future__ import annotations

import io
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, Literal, Protocol

import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from perennial.drift.estimate import Answered
from perennial.drift.loss import Promise
from perennial.evaluation.mixing import BASES, MEMBERS, MemberErrors, Mixture, measure_errors
from perennial.evaluation.targets import encode_known
from perennial.packaging.members import Members
from perennial.packaging.predictor import Packaged, Predictor, encode_frame
from perennial.packaging.signature import Signature
from perennial.registry import (
    Manifest,
    bases_of,
    read_base,
    read_file,
    read_manifest,
    read_signature,
    read_state,
)
from perennial.registry.manifest import (
    JUDGED_FILE,
    MODEL_FILE,
    REFERENCE_FILE,
    SPEC_FILE,
    TRIAL_FILE,
    TRIAL_SIGNATURE_FILE,
)
from perennial.spec import BaseName, PipelineSpec
from perennial.store import Store


class Metrics(BaseModel):
    """``metrics.json`` of a version: what it showed on rows that it had not seen."""

    model_config = ConfigDict(frozen=True)

    format: Literal[1] = 1
    metric: str
    score: float | None
    low: float | None
    """Lower end of the score's 90% interval; None where it is undefined."""
    high: float | None
    rows: int
    """Rows of the gate, from which its trial had not learned."""
    first: datetime | None = None
    """Time of the first of them, where the pipeline has a time."""
    last: datetime | None = None
    against: str | None = None
    """The champion that was held against it on the same rows; None: there was none."""
    change: float | None = None
    """Its loss less the champion's on the same rows, as a share of the champion's."""
    change_low: float | None = None
    """One-sided bounds of that at the gate's confidence."""
    change_high: float | None = None
    trained_rows: int
    usual_rows: int
    """Rows that the pipeline's first version was trained on: the span where nothing speaks for
    another."""
    promise: Promise
    shift: float | None = None
    """How far its answers lay from the champion's on the gate's rows; None: there was none."""


@dataclass(frozen=True, eq=False)
class Champion:
    """A version that answers, or did, and the versions whose trained graphs stand in it; each part
    is read once, and only when it is asked for."""

    store: Store
    version: Manifest
    bases: dict[BaseName, Manifest]
    """By the members of the mixture; `first` is among them."""

    @property
    def name(self) -> str:
        """Of the version."""
        return self.version.version

    @property
    def metrics(self) -> Metrics:
        """What it showed at its gate."""
        return metrics_of(self.version)

    @property
    def base(self) -> Manifest:
        """The version that its mixture began with."""
        return self.bases["first"]

    @property
    def newest(self) -> Manifest:
        """The version that trained the newest of its graphs."""
        return max(self.bases.values(), key=lambda manifest: manifest.version)

    @cached_property
    def mixture(self) -> Mixture:
        """The shares of its members."""
        shares = self.version.lineage.recipe.shares
        return Mixture(**shares) if shares else Mixture.alone()

    @cached_property
    def declared(self) -> PipelineSpec:
        """What was declared when its mixture began.

        Raises:
            ModelError: the file was altered, or is missing.
        """
        return PipelineSpec.model_validate_json(read_file(self.store, self.base, SPEC_FILE))

    @cached_property
    def signature(self) -> Signature:
        """What it takes and gives."""
        return read_signature(self.store, self.version)

    @cached_property
    def served(self) -> Predictor:
        """The graph that answers."""
        return load_version(self.store, self.version)

    @cached_property
    def graph(self) -> bytes:
        """The graph that answers, as it lies in the store."""
        return read_file(self.store, self.version, MODEL_FILE)

    @cached_property
    def graphs(self) -> dict[BaseName, Packaged]:
        """The trained graphs, in the order of `BASES`."""
        return {
            name: Packaged(
                read_base(self.store, self.bases[name], name),
                read_signature(self.store, self.bases[name]),
            )
            for name in BASES
            if name in self.bases
        }

    @property
    def trained(self) -> Packaged:
        """The trained graph that its mixture began with."""
        return self.graphs["first"]

    @cached_property
    def members(self) -> Members:
        """The graph that answers, with what each of its members does."""
        return Members(self.graph, self.signature)

    @cached_property
    def trial(self) -> Packaged:
        """Its first model as it was before it learned the newest rows.

        Raises:
            ModelError: it was not kept, or was altered.
        """
        signature = read_file(self.store, self.base, TRIAL_SIGNATURE_FILE)
        return Packaged(
            read_file(self.store, self.base, TRIAL_FILE), Signature.model_validate_json(signature)
        )

    @cached_property
    def reference(self) -> pd.DataFrame:
        """Rows that the newest of its graphs was trained on, thinned out: what drift is measured
        against."""
        return pd.read_parquet(io.BytesIO(read_file(self.store, self.newest, REFERENCE_FILE)))

    def errors(
        self, window: str, late: int, frame: pd.DataFrame, y: NDArray[Any], spec: PipelineSpec
    ) -> MemberErrors:
        """Measure what its members get wrong in labelled rows.

        Args:
            late: windows by which their labels came behind the window's end.
            y: true values or class indices (rows,).
        """
        served, answers = self.members.answer(*encode_frame(self.signature, frame))
        known = {name: answers[name] for name in MEMBERS if name in answers} or {"first": served}
        return MemberErrors(
            window=window,
            rows=len(y),
            late=late,
            first=self.base.version,
            members=tuple(known),
            products=measure_errors(spec.task, y, known, served, spec.metric),
        )


def read_judged(store: Store, manifest: Manifest) -> Answered:
    """Read the rows by which a version's trial was judged, and what the trial answered.

    They tell how wrong the version is on rows that it has not learned from, though it has learned
    from these by now.
    """
    frame = pd.read_parquet(io.BytesIO(read_file(store, manifest, JUDGED_FILE)))
    signature = read_signature(store, manifest)
    output = frame[_answer_columns(signature.width)].to_numpy()
    y, _ = encode_known(frame[signature.target], signature)
    return Answered(frame, output, y)


def with_answers(answered: Answered) -> pd.DataFrame:
    """Rows with what was answered beside them: what `read_judged` reads."""
    columns = _answer_columns(answered.output.shape[1])
    return answered.frame.assign(**dict(zip(columns, answered.output.T, strict=True)))


def _answer_columns(width: int) -> list[str]:
    return [f"_output_{number}" for number in range(width)]


def find_champion(store: Store, pipeline: str) -> Champion | None:
    """Read the version that answers, if there is one."""
    name = read_state(store, pipeline).state.champion
    return None if name is None else read_champion(store, read_manifest(store, pipeline, name))


def read_champion(store: Store, manifest: Manifest) -> Champion:
    """Read a version, and what it stands on.

    Raises:
        NotFound: its base is not in the store any more.
    """
    return Champion(store, manifest, bases_of(store, manifest))


def metrics_of(manifest: Manifest) -> Metrics:
    """What a version showed at its gate."""
    return Metrics.model_validate(manifest.metrics)


def load_version(store: Store, manifest: Manifest) -> Predictor:
    """Load a version's graph, held against its manifest.

    Raises:
        ModelError: a file was altered, or the graph cannot be loaded.
    """
    model = read_file(store, manifest, MODEL_FILE)
    return Predictor(model, read_signature(store, manifest))


class Answering(Protocol):
    """What answers encoded rows, such as a `Predictor`."""

    @property
    def signature(self) -> Signature:
        """What it takes and gives."""
        ...

    def predict(
        self, numeric: NDArray[Any] | None, categorical: NDArray[Any] | None
    ) -> NDArray[Any]:
        """Give (rows, width)."""
        ...


def answer(predictor: Answering, frame: pd.DataFrame) -> NDArray[Any]:
    """Answer the rows of a frame; (rows, width)."""
    return predictor.predict(*encode_frame(predictor.signature, frame))
