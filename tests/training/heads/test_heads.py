"""A small model mends its base, and both are one graph that answers as they do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from perennial.errors import TrainingError
from perennial.evaluation.metrics import row_losses
from perennial.evaluation.mixing import HEADS, Mixture
from perennial.packaging.parity import check_parity
from perennial.packaging.predictor import Packaged, Predictor
from perennial.training.estimator import TrainingSet
from perennial.training.heads import fit_heads
from perennial.training.heads.fit import MOST_ROWS
from perennial.training.mixture import MixedModel
from tests.training.frames import COLUMNS, ESTIMATORS, TASKS
from tests.training.heads.bases import Base, make_base

MENDING = ("recalibrate", "correct")
"""Those that start from what the base answers."""
Heads = tuple[Any, ...]


def composed(heads: Heads, base: Base, name: str) -> bytes:
    """One graph of a base and its small models, which answers as one of these."""
    bases: Any = {"first": Packaged(base.model, base.signature)}
    return MixedModel(bases, heads, Mixture(**{name: 1.0})).packaged.graph


def ensure_faithful(heads: Heads, base: Base, name: str) -> None:
    head = heads[HEADS.index(name)]

    def source(numeric: Any, categorical: Any) -> Any:
        return head.predict(numeric, categorical, base.answers(numeric, categorical))

    inputs = base.numeric, base.categorical
    parity = check_parity(composed(heads, base, name), base.signature, source, *inputs)
    assert parity.ok
    assert parity.max_relative < 1e-4


def fit_one(name: str, data: TrainingSet, output: Any) -> Any:
    """One of the three that are fitted together."""
    return fit_heads(data, output)[HEADS.index(name)]


@pytest.mark.parametrize("columns", COLUMNS)
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", HEADS)
def test_one_graph_answers_as_base_and_head(name: str, task: str, columns: str) -> None:
    base = make_base(task, columns)
    ensure_faithful(fit_heads(base.data, base.output), base, name)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("name", HEADS)
def test_every_family_takes_a_head(name: str, estimator: str, task: str) -> None:
    base = make_base(task, estimator=estimator)
    ensure_faithful(fit_heads(base.data, base.output), base, name)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", MENDING)
def test_a_head_mends_a_base_whose_target_moved(name: str, task: str) -> None:
    base = make_base(task, "numeric", rows=800)
    older, newer = slice(0, 600), slice(600, None)
    head = fit_one(name, base.data.take(older), base.output[older])
    rows = base.data.take(newer)
    mended = head.predict(rows.numeric, rows.categorical, base.output[newer])
    assert _loss(base, rows.y, mended) < 0.9 * _loss(base, rows.y, base.output[newer])


def test_heads_learn_a_change_that_moved_a_category_too_while_most_rows_are_older() -> None:
    rng = np.random.default_rng(0)
    n, change, fitted = 4200, 2250, 3600
    after = np.arange(n) >= change
    shop = np.where(after, "w", rng.choice(["u", "v", "w"], n)).astype(object)
    x = rng.normal(size=(n, 3)) + 3 * after[:, None] * [0, 1, 0]
    data = TrainingSet(
        task="regression",
        metric="rmse",
        width=1,
        numeric=x.astype(np.float32),
        categorical=shop[:, None],
        y=3 * x[:, 0] - 5 * after + rng.normal(size=n),
    )
    base = (3 * x[:, :1]).astype(np.float32)
    later = data.take(slice(fitted, None))
    for head in fit_heads(data.take(slice(0, fitted)), base[:fitted])[1:]:
        answers = head.predict(later.numeric, later.categorical, base[fitted:])
        assert np.sqrt(np.mean((answers[:, 0] - later.y) ** 2)) < 2, "never mended: 5.1"


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", MENDING)
def test_a_head_on_a_base_that_is_right_does_little_harm(name: str, task: str) -> None:
    base = make_base(task, "numeric", rows=800, turned=False)
    older, newer = slice(0, 600), slice(600, None)
    head = fit_one(name, base.data.take(older), base.output[older])
    rows = base.data.take(newer)
    changed = head.predict(rows.numeric, rows.categorical, base.output[newer])
    assert _loss(base, rows.y, changed) < 1.05 * _loss(base, rows.y, base.output[newer])


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", MENDING)
@pytest.mark.parametrize("rows", [1, 2, 7])
def test_a_few_rows_move_a_head_a_little(rows: int, name: str, task: str) -> None:
    base = make_base(task)
    few = slice(0, rows)
    heads = fit_heads(base.data.take(few), base.output[few])
    head = heads[HEADS.index(name)]
    output = head.predict(base.numeric, base.categorical, base.output)
    assert np.isfinite(output).all()
    trusted = rows / (rows + 20)
    moved = np.abs(base.data.y[few] - base.output[few, 0]).max() if task == "regression" else 1
    assert np.abs(output - base.output).mean() < 2 * trusted * moved
    ensure_faithful(heads, base, name)


@pytest.mark.parametrize("task", ["binary", "multiclass"])
@pytest.mark.parametrize("name", MENDING)
def test_a_class_without_a_row_keeps_a_chance(name: str, task: str) -> None:
    base = make_base(task, turned=False)
    present = base.data.y != base.data.y.max()
    heads = fit_heads(base.data.take(present), base.output[present])
    head = heads[HEADS.index(name)]
    output = head.predict(base.numeric, base.categorical, base.output)
    absent = output[~present, -1]
    assert output.shape == base.output.shape
    assert (absent > 0).all()
    assert absent.mean() > output[present, -1].mean()
    ensure_faithful(heads, base, name)


@pytest.mark.parametrize("name", MENDING)
def test_absolute_errors_are_mended_by_medians(name: str) -> None:
    base = make_base("regression", "numeric", turned=False)
    wild = np.where(np.arange(len(base.data)) % 4 == 0, 5000.0, 10.0)
    data = replace(base.data, metric="mae", y=base.output[:, 0] + wild)
    head = fit_one(name, data, base.output)
    moved = head.predict(base.numeric, base.categorical, base.output) - base.output
    assert 5 < np.median(moved) < 200


@pytest.mark.parametrize("name", HEADS)
def test_the_same_rows_give_the_same_bytes(name: str) -> None:
    base = make_base("multiclass")
    first, second = (composed(fit_heads(base.data, base.output), base, name) for _ in range(2))
    assert first == second


def test_of_many_rows_heads_learn_from_evenly_chosen_ones() -> None:
    base = make_base("binary")
    times = 2 * MOST_ROWS // len(base.data) + 1
    many = base.data.take(np.repeat(np.arange(len(base.data)), times))
    few = slice(None, None, 3)
    heads = [
        fit_heads(many, np.repeat(base.output, times, axis=0)),
        fit_heads(many.take(few), np.repeat(base.output, times, axis=0)[few]),
    ]
    assert len(many) / 3 <= MOST_ROWS < len(many) / 2
    answers = [h[-1].predict(base.numeric, base.categorical, base.output) for h in heads]
    np.testing.assert_array_equal(*answers)


@pytest.mark.parametrize("name", HEADS)
def test_no_rows_give_no_answers(name: str) -> None:
    base = make_base("binary")
    head = fit_one(name, base.data, base.output)
    none = base.data.take(slice(0, 0))
    assert head.predict(none.numeric, none.categorical, base.output[:0]).shape == (0, 1)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("batch", [1, 64])
def test_rows_answer_alike_alone_and_among_others(batch: int, threads: int) -> None:
    base = make_base("regression", "numeric", rows=2000)
    heads = fit_heads(base.data, base.output)
    expected = heads[-1].predict(base.numeric, base.categorical, base.output)
    predictor = Predictor(composed(heads, base, "correct"), base.signature, threads)
    assert base.numeric is not None
    parts = [
        predictor.predict(base.numeric[low : low + batch], None) for low in range(0, 2000, batch)
    ]
    np.testing.assert_allclose(np.concatenate(parts), expected, atol=1e-4 * expected.std())


def test_a_head_needs_rows_and_a_base_that_answers() -> None:
    base = make_base("binary")
    with pytest.raises(TrainingError, match="no labelled rows"):
        fit_heads(base.data.take(slice(0, 0)), base.output[:0])
    broken = np.full_like(base.output, np.nan)
    with pytest.raises(TrainingError, match="not all numbers"):
        fit_heads(base.data, broken)


def _loss(base: Base, y: Any, output: Any) -> float:
    metric = "rmse" if base.data.task == "regression" else "log_loss"
    return float(row_losses(base.data.task, metric, y, output).mean())
