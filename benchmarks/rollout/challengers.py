"""Challengers with one flaw each: a sound graph with a few nodes behind its output.

For graphs whose output has one column: a value, or the probability of the second class.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from perennial.packaging.predictor import Predictor, no_columns
from perennial.packaging.signature import CATEGORICAL, NUMERIC, OUTPUT, Signature

_SIDE = 256
"""Of the matrices that a slow graph multiplies."""
_TRIAL = 50
"""Products of the trial that says how many a slow graph needs."""


class Patch:
    """Nodes that are added to a graph; every method returns the name of the tensor it makes."""

    def __init__(self, signature: Signature) -> None:
        self._signature = signature
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, value: NDArray[np.generic]) -> str:
        """Store an array."""
        name = f"patch_constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def number(self, value: float) -> str:
        """Store a float32."""
        return self.constant(np.array(value, dtype=np.float32))

    def add(self, op: str, *inputs: str, domain: str = "", **attributes: object) -> str:
        """Append a node with one output."""
        name = f"patch_{len(self.nodes)}"
        self.nodes.append(
            helper.make_node(op, list(inputs), [name], name=name, domain=domain, **attributes)
        )
        return name

    def is_in(self, column: str, value: str | float) -> str:
        """Say which rows hold a value in a feature: bool (rows, 1)."""
        signature = self._signature
        if column in signature.categorical:
            place = self.constant(np.array([signature.categorical.index(column)]))
            code = self.add(
                "LabelEncoder",
                self.add("Gather", CATEGORICAL, place, axis=1),
                domain="ai.onnx.ml",
                keys_strings=[str(value)],
                values_floats=[1.0],
                default_float=0.0,
            )
            return self.add("Equal", code, self.number(1.0))
        place = self.constant(np.array([signature.numeric.index(column)]))
        return self.add(
            "Equal", self.add("Gather", NUMERIC, place, axis=1), self.number(float(value))
        )


def patched(model: bytes, signature: Signature, change: Callable[[Patch, str], str]) -> bytes:
    """Put nodes between a graph's output and the outside.

    Args:
        change: is given the patch and the name of the sound output, and returns the new one's.
    """
    graph = onnx.load_from_string(model)
    for node in graph.graph.node:
        node.output[:] = ["sound" if name == OUTPUT else name for name in node.output]
    patch = Patch(signature)
    last = change(patch, "sound")
    graph.graph.node.extend([*patch.nodes, helper.make_node("Identity", [last], [OUTPUT])])
    graph.graph.initializer.extend(patch.constants)
    whole: bytes = graph.SerializeToString()
    return whole


def blunted(model: bytes, signature: Signature, *, centre: float, keep: float) -> bytes:
    """Answer ``centre + keep * (sound answer - centre)``: it knows less than the sound one."""

    def change(patch: Patch, sound: str) -> str:
        part = patch.add("Mul", sound, patch.number(keep))
        return patch.add("Add", part, patch.number((1 - keep) * centre))

    return patched(model, signature, change)


def biased_on(
    model: bytes,
    signature: Signature,
    column: str,
    value: str | float,
    *,
    towards: float,
    strength: float,
) -> bytes:
    """On one slice, answer a value that lies ``strength`` of the way to ``towards``."""

    def change(patch: Patch, sound: str) -> str:
        away = patch.add("Sub", patch.number(towards), sound)
        moved = patch.add("Add", sound, patch.add("Mul", away, patch.number(strength)))
        return patch.add("Where", patch.is_in(column, value), moved, sound)

    return patched(model, signature, change)


def nan_on(model: bytes, signature: Signature, column: str, value: str | float) -> bytes:
    """On one slice, answer NaN."""

    def change(patch: Patch, sound: str) -> str:
        return patch.add("Where", patch.is_in(column, value), patch.number(float("nan")), sound)

    return patched(model, signature, change)


def unloadable(model: bytes, signature: Signature) -> bytes:
    """Name an operator that no runtime has: whoever loads it fails."""
    return patched(model, signature, lambda patch, sound: patch.add("NoSuchOperator", sound))


def slowed(model: bytes, signature: Signature, seconds: float) -> bytes:
    """Answer what the sound graph answers, so many seconds later on this machine.

    It multiplies matrices in a chain whose length a trial has shown.
    """
    begun = _time(model, signature)
    trial = _time(_multiplying(model, signature, _TRIAL), signature) - begun
    return _multiplying(model, signature, round(_TRIAL * seconds / trial))


def _multiplying(model: bytes, signature: Signature, products: int) -> bytes:
    def change(patch: Patch, sound: str) -> str:
        # It starts with the number of rows, which is known only when it runs, so that no optimiser
        # computes it beforehand; and ends with a factor of zero.
        one = patch.constant(np.eye(_SIDE, dtype=np.float32))
        rows = patch.add("Cast", patch.add("Size", sound), to=TensorProto.FLOAT)
        start = patch.add("Mul", one, patch.add("Min", rows, patch.number(1.0)))
        end = start
        for _ in range(products):
            end = patch.add("MatMul", end, one)
        nothing = patch.add("Mul", patch.add("ReduceMax", end, keepdims=0), patch.number(0.0))
        return patch.add("Add", sound, nothing)

    return patched(model, signature, change)


def _time(model: bytes, signature: Signature) -> float:
    """Seconds for one row, the median of a few."""
    predictor = Predictor(model, signature)
    numeric = np.full((1, len(signature.numeric)), np.nan, dtype=np.float32)
    categorical = no_columns(1)
    if signature.categorical:
        categorical = np.full((1, len(signature.categorical)), "", dtype=object)
    seconds = []
    for _ in range(7):
        began = time.perf_counter()
        predictor.predict(numeric if signature.numeric else None, categorical)
        seconds.append(time.perf_counter() - began)
    return float(np.median(seconds))
