from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, numpy_helper

from perennial.errors import ModelError
from perennial.packaging.export import export
from perennial.packaging.graph import Graph
from perennial.packaging.parity import check_parity
from perennial.packaging.signature import Feature, Signature

SIGNATURE = Signature(
    task="regression",
    target="y",
    features=(
        Feature(name="size", kind="numeric"),
        Feature(name="age", kind="numeric"),
        Feature(name="colour", kind="categorical"),
    ),
)
LEVELS = ("", "blue", "red")
EFFECTS = np.array([0.0, -1.0, 2.0, 3.0])


@dataclass(frozen=True)
class HandMade:
    """size + effect of colour; what is missing counts as ``fill``, and unseen as ``unseen``."""

    fill: float = 1.0
    unseen: float = 0.0

    def predict(self, numeric: Any, categorical: Any) -> Any:
        size = np.clip(np.nan_to_num(numeric[:, 0], nan=1.0), -100, 100)
        codes = [LEVELS.index(c) + 1 if c in LEVELS else 0 for c in categorical[:, 0]]
        return (size + EFFECTS[codes]).astype(np.float64)[:, None]

    def to_onnx(self) -> ModelProto:
        graph = Graph()
        size = graph.add("Gather", graph.numeric(2), graph.constant(np.array([0])), axis=1)
        fill = graph.constant(np.array([self.fill]))
        filled = graph.add("Where", graph.add("IsNaN", size), fill, size)
        low, high = graph.constant(np.array(-100.0)), graph.constant(np.array(100.0))
        held = graph.add("Clip", filled, low, high)
        index = graph.level_index(graph.column(graph.categorical(1), 0), LEVELS)
        table = np.array([[self.unseen], *EFFECTS[1:, None]])
        return graph.finish(graph.add("Add", held, graph.lookup(table, index)), 1)


def rows(count: int = 500) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    numeric = rng.normal(size=(count, 2)).astype(np.float32)
    return numeric, rng.choice(["blue", "red"], (count, 1)).astype(object)


def check(model: HandMade) -> Any:
    return check_parity(export(model, SIGNATURE), SIGNATURE, model.predict, *rows())


def test_a_faithful_model_passes_on_every_kind_of_rows() -> None:
    parity = check(HandMade())
    assert [check.kind for check in parity.checks] == [
        "real rows",
        "'size' missing",
        "'age' missing",
        "'colour' missing",
        "'colour' unseen",
        "all features missing",
        "all strings unseen",
        "all numbers 1e+30",
        "all numbers -1e+30",
    ]
    assert parity.ok
    assert parity.rows == 500 + 8 * 100
    assert parity.share_off == 0
    assert parity.max_abs < 1e-5


def test_a_wrong_filling_is_found_where_a_value_is_missing() -> None:
    parity = check(HandMade(fill=0.0))
    off = {check.kind for check in parity.checks if check.off}
    assert off == {"'size' missing", "all features missing"}


def test_a_wrong_answer_to_unseen_strings_is_found() -> None:
    parity = check(HandMade(unseen=0.5))
    assert {check.kind for check in parity.checks if check.off} == {
        "'colour' unseen",
        "all strings unseen",
    }


def test_an_answer_that_is_no_number_fails() -> None:
    parity = check(HandMade(fill=np.nan))
    assert not parity.ok
    assert parity.max_abs == np.inf


def test_a_damaged_weight_fails_on_real_rows() -> None:
    model = onnx.load_from_string(export(HandMade(), SIGNATURE))
    table = next(i for i in model.graph.initializer if i.dims == [4, 1])
    table.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(table) * 1.01, table.name))
    parity = check_parity(model.SerializeToString(), SIGNATURE, HandMade().predict, *rows())
    assert parity.checks[0].kind == "real rows"
    assert parity.checks[0].off > 0


def test_a_graph_that_does_not_fit_its_signature_is_not_exported() -> None:
    other = SIGNATURE.model_copy(update={"features": SIGNATURE.features[:2]})
    with pytest.raises(ModelError, match="inputs"):
        export(HandMade(), other)


def test_the_same_model_gives_the_same_bytes() -> None:
    assert export(HandMade(), SIGNATURE) == export(HandMade(), SIGNATURE)
