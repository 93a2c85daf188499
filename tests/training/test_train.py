from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from perennial.errors import TrainingError
from perennial.packaging.export import export
from perennial.packaging.parity import check_parity
from perennial.packaging.predictor import encode_frame
from perennial.packaging.signature import canonical_label
from perennial.spec import PipelineSpec
from perennial.training.estimator import load_estimator
from perennial.training.train import Trained, _Contender, _takes_over, fit, refit, train
from tests.training.frames import ESTIMATORS, TASKS, make_frame, make_spec

BIKE = Path(__file__).parents[2] / "data" / "bike" / "bike_hourly.csv.gz"


def packaged(trained: Trained) -> bytes:
    return export(trained.model, trained.signature)


@pytest.mark.parametrize("task", TASKS)
def test_all_families_compete_and_the_one_that_stands_is_packaged(task: str) -> None:
    frame = make_frame(task)
    trained = train(frame, make_spec(task))
    assert [score.estimator for score in trained.scores] == list(ESTIMATORS)
    assert (trained.rows, trained.validation_rows) == (240, 36)
    inputs = encode_frame(trained.signature, frame)
    model, signature = trained.model, trained.signature
    assert check_parity(packaged(trained), signature, model.predict, *inputs).ok


def noise(rows: int = 400, slope: float = 0.0) -> pd.DataFrame:
    rng = np.random.default_rng(2)
    columns = rng.normal(size=(rows, 4))
    frame = pd.DataFrame(columns, columns=list("abcd"))
    return frame.assign(y=slope * columns.sum(axis=1) + rng.normal(size=rows))


def test_a_family_that_is_clearly_better_takes_the_first_ones_place() -> None:
    spec = make_spec("regression").model_copy(update={"time": None})
    trained = train(noise(slope=2.0), spec)
    assert trained.estimator == "linear"


@pytest.mark.parametrize("first", ESTIMATORS)
def test_the_first_family_stands_where_no_other_is_clearly_better(first: str) -> None:
    others = [name for name in ESTIMATORS if name != first]
    spec = make_spec("regression", first, *others).model_copy(update={"time": None})
    # On noise alone boosted trees are clearly worse than a line, which is next to a constant.
    frame = noise()
    if first == "hist_gradient_boosting":
        frame["y"] += 10 * ((frame["a"] > 0) != (frame["b"] > 0))
    assert train(frame, spec).estimator == first


def contender(paired: Any, losses: Any) -> _Contender:
    return _Contender(load_estimator("linear"), None, tuple(paired), tuple(losses))


def test_a_better_ranking_of_worse_probabilities_is_no_clear_win() -> None:
    low, high = np.random.default_rng(0).uniform(size=(2, 3, 100))
    first = contender(high + 1, low)
    assert _takes_over(contender(high, low), first)
    assert not _takes_over(contender(high, low + 0.1), first)


def test_what_is_worse_on_one_fold_is_no_clear_win() -> None:
    first = np.random.default_rng(0).uniform(1, 2, size=(3, 100))
    everywhere, elsewhere = first - 0.5, first - [[1.0], [1.0], [-0.1]]
    assert _takes_over(contender(everywhere, everywhere), contender(first, first))
    assert not _takes_over(contender(elsewhere, elsewhere), contender(first, first))


def test_a_network_that_is_clearly_behind_is_given_up_after_a_glance() -> None:
    trained = train(
        pd.read_csv(BIKE).head(1000).rename(columns={"cnt": "y"}), make_spec("regression")
    )
    network = trained.scores[2]
    assert "clearly behind" in str(network.skipped)
    assert network.value is None
    assert trained.estimator == "hist_gradient_boosting"


@pytest.mark.parametrize("name", ESTIMATORS)
def test_same_rows_and_seed_give_the_same_bytes(name: str) -> None:
    frame = make_frame("multiclass", rows=150)
    first, second = (train(frame, make_spec("multiclass", name)) for _ in range(2))
    assert packaged(first) == packaged(second)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", ["hist_gradient_boosting", "linear"])
def test_a_refitted_model_learns_from_the_newest_rows_alone(name: Any, task: str) -> None:
    spec, frame = make_spec(task), make_frame(task, rows=400)
    old, new = frame.iloc[:200], frame.iloc[200:]
    first = fit(old, spec, name, rounds=10)
    known = refit(frame, spec, first.signature, name, rows=150, rounds=10)
    assert (known.signature, known.rows) == (first.signature, 150)
    alone = refit(new.iloc[-150:], spec, first.signature, name, rows=9000, rounds=10)
    inputs = encode_frame(first.signature, new)
    np.testing.assert_array_equal(known.model.predict(*inputs), alone.model.predict(*inputs))


def test_a_refitted_model_knows_the_classes_that_the_first_one_knows() -> None:
    spec, frame = make_spec("multiclass"), make_frame("multiclass", rows=400)
    frame.loc[300:, "y"] = "low"
    frame.loc[350:, "y"] = "new"
    first = fit(frame[:200], spec, "linear", rounds=None)
    refitted = refit(frame, spec, first.signature, "linear", rows=20, rounds=None)
    assert refitted.signature.classes == ("high", "low", "middle")
    assert refitted.rows == 22, "of the newest 20 that it has terms for, all are low"
    output = refitted.model.predict(*encode_frame(first.signature, frame))
    assert output.shape == (400, 3)
    assert (output > 0).all()


def test_a_class_of_which_no_row_is_left_cannot_be_refitted() -> None:
    spec, frame = make_spec("multiclass"), make_frame("multiclass")
    first = fit(frame, spec, "linear", rounds=None)
    left = frame[frame["y"] != "middle"]
    with pytest.raises(TrainingError, match="no row of the class 'middle' is left"):
        refit(left, spec, first.signature, "linear", rows=100, rounds=None)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_under_balanced_accuracy_a_rare_class_is_voted_for_as_readily(name: str) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=2000)
    frame = pd.DataFrame({"x": x, "y": (x + rng.normal(0, 2, 2000) > 3.2).astype(int)})
    plain = make_spec("binary", name).model_copy(update={"time": None})
    balanced = plain.model_copy(update={"metric": "balanced_accuracy"})

    def votes(spec: PipelineSpec) -> float:
        trained = train(frame, spec)
        probe = encode_frame(trained.signature, frame)
        return float((trained.model.predict(*probe)[:, 0] >= 0.5).mean())

    assert frame["y"].mean() < 0.1
    assert votes(plain) < 0.1
    assert 0.3 < votes(balanced) < 0.6


def test_the_time_that_is_gone_leaves_families_out() -> None:
    spec = make_spec("regression")
    trained = train(make_frame("regression"), spec, spent=1e9)
    assert [score.skipped is None for score in trained.scores] == [True, False, False]


def test_another_seed_gives_another_network() -> None:
    frame = make_frame("binary", rows=150)
    first, second = (train(frame, make_spec("binary", "mlp", seed=seed)) for seed in (0, 1))
    assert packaged(first) != packaged(second)


def test_training_leaves_torchs_randomness_and_threads_alone() -> None:
    import torch

    torch.manual_seed(5)
    expected = torch.rand(1).item()
    torch.manual_seed(5)
    threads = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        train(make_frame("binary", rows=60), make_spec("binary", "mlp"))
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(threads)
    assert torch.rand(1).item() == expected


def test_a_family_that_would_overrun_is_left_out_and_the_first_never() -> None:
    ticks = itertools.count(step=30.0)
    spec = make_spec("regression", time_budget="10s")
    trained = train(make_frame("regression"), spec, clock=lambda: next(ticks))
    first, *others = trained.scores
    assert trained.estimator == first.estimator == "hist_gradient_boosting"
    assert first.value is not None
    assert first.skipped is None
    for score in others:
        assert score.value is None
        assert "of the time budget are left" in str(score.skipped)


@pytest.mark.parametrize(
    "labels", [(False, True), (0, 1), (0.0, 1.0), ("no", "yes"), (np.int8(3), np.int8(12))]
)
def test_labels_of_any_type_come_back_in_canonical_order(labels: tuple[Any, Any]) -> None:
    frame = make_frame("binary", "numeric")
    column = [labels[value] for value in frame["y"]]
    trained = train(frame.assign(y=column), make_spec("binary", "linear"))
    numeric, _ = encode_frame(trained.signature, frame)
    output = trained.model.predict(numeric, None)[:, 0]
    assert trained.signature.classes == tuple(canonical_label(label) for label in labels)
    assert output[frame["y"] == 1].mean() > output[frame["y"] == 0].mean() + 0.3


def test_a_class_that_appears_at_the_very_end_is_learned() -> None:
    frame = make_frame("multiclass", rows=200)
    frame.loc[frame.index[-5:], "y"] = "unheard of"
    trained = train(frame, make_spec("multiclass"))
    assert "unheard of" in trained.signature.classes
    assert trained.validation_rows == 25


def test_classes_one_after_the_other_do_not_stop_a_training() -> None:
    frame = make_frame("binary").assign(y=[0] * 220 + [1] * 20)
    trained = train(frame, make_spec("binary"))
    assert all(score.value is None for score in trained.scores)
    assert trained.scores[0].loss is not None


def test_five_rows_are_enough_to_answer() -> None:
    frame = make_frame("binary", rows=5).assign(y=[0, 1, 0, 1, 0])
    trained = train(frame, make_spec("binary"))
    assert trained.validation_rows == 0
    assert trained.estimator == "hist_gradient_boosting"


def test_time_and_ignored_columns_are_context_and_not_features() -> None:
    frame = make_frame("regression").assign(leak=lambda f: f["y"])
    spec = make_spec("regression", "linear").model_copy(update={"ignore": ("leak",)})
    signature = train(frame, spec).signature
    assert signature.context == ("ts", "leak")
    assert {f.name for f in signature.features} == {"size", "age", "member", "colour", "grade"}


def test_a_target_to_learn_nothing_from_is_refused() -> None:
    with pytest.raises(TrainingError, match="one class only"):
        train(make_frame("binary").assign(y=1), make_spec("binary"))


def test_bike_demand_is_learned_from_a_fifth_of_the_stream() -> None:
    frame = pd.read_csv(BIKE).head(3475)
    spec = make_spec("regression").model_copy(update={"target": "cnt"})
    trained = train(frame, spec)
    values = {score.estimator: score.value for score in trained.scores}
    assert values["hist_gradient_boosting"] is not None
    assert trained.estimator == "hist_gradient_boosting"
    assert values["hist_gradient_boosting"] < 60
    inputs = encode_frame(trained.signature, frame)
    model, signature = trained.model, trained.signature
    assert check_parity(packaged(trained), signature, model.predict, *inputs).ok
