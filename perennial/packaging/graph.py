"""Building an ONNX graph node by node.

Names are counted, never drawn, and nothing of the moment goes in: the same calls give the same
bytes. Opsets and IR version are pinned to what onnxruntime 1.22 and later read.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, checker, compose, helper, numpy_helper

from perennial.errors import ModelError
from perennial.packaging.signature import CATEGORICAL, NUMERIC, OUTPUT

OPSET = 17
ML_OPSET = 3
IR_VERSION = 8
ML_DOMAIN = "ai.onnx.ml"
_OPSETS = (("", OPSET), (ML_DOMAIN, ML_OPSET))


class Graph:
    """A graph under construction; every method returns the name of the tensor that it makes."""

    def __init__(self) -> None:
        self._nodes: list[Any] = []
        self._initializers: list[Any] = []
        self._inputs: list[Any] = []

    def numeric(self, columns: int) -> str:
        """Declare the input ``numeric``: float32 (rows, columns)."""
        return self._declare(NUMERIC, TensorProto.FLOAT, columns)

    def categorical(self, columns: int) -> str:
        """Declare the input ``categorical``: string (rows, columns)."""
        return self._declare(CATEGORICAL, TensorProto.STRING, columns)

    def _declare(self, name: str, kind: int, columns: int) -> str:
        if all(known.name != name for known in self._inputs):
            self._inputs.append(helper.make_tensor_value_info(name, kind, ["rows", columns]))
        return name

    def include(self, model: ModelProto, prefix: str) -> str:
        """Take in a whole graph of the same inputs; return the name of its output.

        Args:
            model: a graph that `finish` made.
            prefix: goes before the names of its nodes and tensors, apart from the inputs.

        Raises:
            ModelError: it is made for other operator sets.
        """
        if {(o.domain, o.version) for o in model.opset_import} != set(_OPSETS):
            raise ModelError("the graph is made for other operator sets: package its model anew")
        graph = compose.add_prefix(model, prefix, rename_inputs=False).graph
        for put in graph.input:
            if all(known.name != put.name for known in self._inputs):
                self._inputs.append(put)
        self._nodes.extend(graph.node)
        self._initializers.extend(graph.initializer)
        output: str = graph.output[0].name
        return output

    def constant(self, value: NDArray[Any]) -> str:
        """Store an array; float64 becomes float32."""
        array = value.astype(np.float32) if value.dtype == np.float64 else value
        name = f"constant_{len(self._initializers)}"
        self._initializers.append(numpy_helper.from_array(np.asarray(array, order="C"), name))
        return name

    def add(self, op: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Append a node with one output."""
        name = f"{op.lower()}_{len(self._nodes)}"
        self._nodes.append(
            helper.make_node(op, list(inputs), [name], name=name, domain=domain, **attributes)
        )
        return name

    def name(self, tensor: str, name: str) -> str:
        """Give a tensor a name that does not depend on what was added before."""
        self._nodes.append(helper.make_node("Identity", [tensor], [name], name=name))
        return name

    def concat(self, parts: list[str]) -> str:
        """Join (rows, *) tensors side by side."""
        return parts[0] if len(parts) == 1 else self.add("Concat", *parts, axis=1)

    def column(self, matrix: str, index: int) -> str:
        """Take one column of a (rows, columns) tensor, as (rows,)."""
        return self.add("Gather", matrix, self.constant(np.array(index, dtype=np.int64)), axis=1)

    def level_index(self, column: str, levels: tuple[str, ...]) -> str:
        """Number the strings of a (rows,) tensor: 1 for ``levels[0]`` and on, 0 for all others."""
        if not levels:
            zeros = helper.make_tensor("value", TensorProto.INT64, [1], [0])
            return self.add("ConstantOfShape", self.add("Shape", column), value=zeros)
        return self.add(
            "LabelEncoder",
            column,
            domain=ML_DOMAIN,
            keys_strings=list(levels),
            values_int64s=list(range(1, len(levels) + 1)),
            default_int64=0,
        )

    def lookup(self, table: NDArray[Any], index: str) -> str:
        """Take rows of a (levels + 1, width) table by a (rows,) index: (rows, width)."""
        return self.add("Gather", self.constant(table), index, axis=0)

    def affine(self, x: str, weight: NDArray[Any], bias: NDArray[Any]) -> str:
        """Compute ``x @ weight + bias``, weight of shape (columns, outputs)."""
        return self.add("Gemm", x, self.constant(weight), self.constant(bias))

    def probabilities(self, scores: str, raw_width: int, width: int) -> str:
        """Turn raw class scores (rows, raw_width) into the (rows, width) output.

        One raw score is the log-odds of the second class, several are logits.
        """
        if raw_width > 1:
            chances = self.add("Softmax", scores, axis=1)
            if width > 1:
                return chances
            return self.add("Gather", chances, self.constant(np.array([1], np.int64)), axis=1)
        second = self.add("Sigmoid", scores)
        if width == 1:
            return second
        one = self.constant(np.ones(1, dtype=np.float32))
        return self.concat([self.add("Sub", one, second), second])

    def finish(self, output: str, width: int) -> ModelProto:
        """Name the output and close the graph; it has passed ONNX's checker."""
        self._nodes.append(helper.make_node("Identity", [output], [OUTPUT], name=OUTPUT))
        outputs = [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["rows", width])]
        graph = helper.make_graph(
            self._nodes, "perennial", self._inputs, outputs, self._initializers
        )
        model = helper.make_model(
            graph,
            ir_version=IR_VERSION,
            producer_name="perennial",
            opset_imports=[helper.make_opsetid(*opset) for opset in _OPSETS],
        )
        checker.check_model(model)
        return model
