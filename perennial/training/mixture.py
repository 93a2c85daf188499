"""A mixture of models in one graph: bases, small models on the first of them, and their shares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import onnx
import pandas as pd
from numpy.typing import NDArray
from onnx import ModelProto

from perennial.errors import ModelError
from perennial.evaluation.mixing import HEADS, MEMBERS, Mixture
from perennial.packaging.export import export
from perennial.packaging.graph import Graph
from perennial.packaging.members import Members, member_tensor
from perennial.packaging.parity import Parity, check_parity
from perennial.packaging.predictor import Packaged, encode_frame
from perennial.packaging.signature import Signature
from perennial.spec import BaseName, MemberName, PipelineSpec
from perennial.training.estimator import Columns, or_none
from perennial.training.heads import Head, fit_heads
from perennial.training.train import encode_rows


@dataclass(frozen=True, eq=False)
class MixedModel:
    """Models whose answers are mixed."""

    bases: Mapping[BaseName, Packaged]
    """`first` among them; all of one signature."""
    heads: tuple[Head, ...]
    """On `first`, in the order of `perennial.evaluation.mixing.HEADS`; or none."""
    mixture: Mixture

    @property
    def signature(self) -> Signature:
        """What it takes and gives."""
        return self.bases["first"].signature

    @cached_property
    def packaged(self) -> Packaged:
        """All in one graph; the same parts give the same bytes.

        Raises:
            ModelError: a base is no graph of Perennial's.
        """
        return Packaged(export(self, self.signature), self.signature)

    def predict(self, numeric: Columns, categorical: Columns) -> NDArray[Any]:
        """Answer rows as the parts do, float64 (rows, width); see `Predictor.predict`."""
        answers = self._answers(numeric, categorical)
        mixed = np.zeros(answers["first"].shape)
        for name, share in self.shares.items():
            mixed += share * answers[name]
        return mixed

    def _answers(self, numeric: Columns, categorical: Columns) -> dict[MemberName, NDArray[Any]]:
        answers: dict[MemberName, NDArray[Any]] = {
            name: base.predictor.predict(numeric, categorical).astype(np.float64)
            for name, base in self.bases.items()
        }
        first = answers["first"].astype(np.float32)
        for name, head in self._named_heads.items():
            answers[name] = head.predict(numeric, categorical, first)
        return answers

    @property
    def _named_heads(self) -> dict[MemberName, Head]:
        return dict(zip(HEADS, self.heads, strict=True)) if self.heads else {}

    @property
    def shares(self) -> dict[MemberName, float]:
        """Of the members that take part; what one without a model would have, `first` has."""
        known: list[MemberName] = [*self.bases, *self._named_heads]
        return self.mixture.among(known).parts

    def check(self, frame: pd.DataFrame) -> Parity:
        """Whether the graph answers as its parts do, on rows of a frame."""
        packaged = self.packaged
        inputs = encode_frame(packaged.signature, frame)
        return check_parity(packaged.graph, packaged.signature, self.predict, *inputs)

    def to_onnx(self) -> ModelProto:
        """Write the members' answers under their names, and the output from them."""
        graph = Graph()
        tensors: dict[MemberName, str] = {}
        for name, base in self.bases.items():
            tensors[name] = graph.name(
                graph.include(_loaded(base.graph), f"{name}_"), member_tensor(name)
            )
        first = tensors["first"]
        for small, head in self._named_heads.items():
            tensors[small] = graph.name(head.to_graph(graph, first), member_tensor(small))
        parts = [
            graph.add("Mul", tensors[name], graph.constant(np.array([share])))
            for name, share in self.shares.items()
        ]
        mixed = parts[0] if len(parts) == 1 else graph.add("Sum", *parts)
        return graph.finish(mixed, self.signature.width)


@dataclass(frozen=True, eq=False)
class StandingMixture:
    """Trained models and shares, with the small models that a version answers with: what a gate
    judges on rows from which new ones have learned."""

    bases: Mapping[BaseName, Packaged]
    members: Members
    """Of that version."""
    mixture: Mixture

    @property
    def signature(self) -> Signature:
        """What it takes and gives."""
        return self.bases["first"].signature

    def predict(self, numeric: Columns, categorical: Columns) -> NDArray[Any]:
        """Answer rows, float64 (rows, width); see `Predictor.predict`."""
        _, answers = self.members.answer(numeric, categorical)
        answers |= {
            name: base.predictor.predict(numeric, categorical) for name, base in self.bases.items()
        }
        shares = self.mixture.among([name for name in MEMBERS if name in answers]).parts
        mixed: NDArray[Any] = sum(  # type: ignore[assignment]
            share * answers[name].astype(np.float64) for name, share in shares.items()
        )
        return mixed


def fit_on(frame: pd.DataFrame, spec: PipelineSpec, base: Packaged) -> tuple[Head, ...]:
    """Fit small models on the rows of a frame, on top of a base.

    Args:
        frame: labelled, in time order; of a class that the base does not know, none counts.

    Raises:
        TrainingError: there is nothing to learn from; see `fit_heads`.
        ModelError: the base cannot be loaded or run.
    """
    data = encode_rows(frame, spec, base.signature)
    output = base.predictor.predict(*or_none(data.numeric, data.categorical))
    return fit_heads(data, output)


def _loaded(graph: bytes) -> ModelProto:
    try:
        return onnx.load_from_string(graph)
    except Exception as error:  # protobuf's own error class is not part of its interface
        raise ModelError(f"the base is no ONNX graph: {error}") from error
