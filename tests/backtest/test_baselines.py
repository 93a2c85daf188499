"""The reference policies refit when they should, on what they should, on any number of cores."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from perennial.backtest.baselines import (
    BaselinePolicy,
    every_gains,
    nothing_to_recover,
    recovered,
    run_baseline,
)
from perennial.evaluation.metrics import score
from perennial.spec import PipelineSpec
from tests.backtest.playing import in_one_process

SPEC = PipelineSpec.model_validate(
    {"name": "toy", "task": "regression", "source": {"uri": "x"}, "target": "y"}
)


def flipping() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    x = rng.normal(size=1000)
    frame = pd.DataFrame({"x": x, "y": np.where(np.arange(1000) < 400, x, -x)})
    frame.loc[::50, "y"] = np.nan
    return frame


@pytest.fixture(scope="module")
def runs() -> dict[str, object]:
    """``every`` by two processes, the others in this one."""
    others: tuple[BaselinePolicy, ...] = ("never", "periodic-5")
    every = run_baseline("every", flipping(), SPEC, windows=10, jobs=2)
    with in_one_process():
        return {p: run_baseline(p, flipping(), SPEC, windows=10) for p in others} | {"every": every}


def test_they_refit_as_often_as_their_names_say(runs) -> None:
    assert {name: run.fits for name, run in runs.items()} == {
        "never": 1,
        "every": 10,
        "periodic-5": 2,
    }


def test_a_flip_is_survived_by_whoever_retrains(runs) -> None:
    assert runs["every"].score < runs["periodic-5"].score < runs["never"].score
    last = {name: run.window_scores[-1] for name, run in runs.items()}
    assert last["every"] < 0.5 < 1 < last["never"]


def test_all_answer_the_first_windows_alike(runs) -> None:
    np.testing.assert_array_equal(runs["never"].outputs[:80], runs["every"].outputs[:80])


def test_the_score_is_pooled_over_all_rows_with_a_label(runs) -> None:
    rest = flipping().iloc[200:]
    known = rest["y"].notna().to_numpy()
    pooled = score("rmse", rest["y"].to_numpy()[known], runs["every"].outputs[known])
    assert runs["every"].score == pytest.approx(pooled)
    assert runs["every"].cpu_seconds > 0


@pytest.mark.usefixtures("one_process")
def test_late_labels_make_later_models(runs) -> None:
    done = []
    late = run_baseline(
        "every",
        flipping(),
        SPEC,
        windows=10,
        label_delay_windows=2,
        jobs=1,
        progress=lambda now, total: done.append((now, total)),
    )
    assert done == [(i, 10) for i in range(1, 11)]
    np.testing.assert_array_equal(late.outputs[:240], runs["never"].outputs[:240])
    np.testing.assert_array_equal(late.outputs[240:320], _third(runs["every"]))


@pytest.mark.usefixtures("one_process")
def test_the_seed_is_that_of_all_fits() -> None:
    """From 10,000 rows on the defaults hold random rows out, to know when to stop."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=12_600)})
    frame["y"] = frame["x"] + rng.normal(size=len(frame))

    def never(seed: int) -> np.ndarray:
        spec = SPEC.model_copy(update={"model": SPEC.model.model_copy(update={"seed": seed})})
        return run_baseline("never", frame, spec, windows=1, train_fraction=0.9, jobs=1).outputs

    np.testing.assert_array_equal(never(1), never(1))
    assert (never(1) != never(2)).any()


def _third(every) -> np.ndarray:
    """Two windows late, the fourth window is answered by the model that `every` made after the
    first, whose own answers to that window nobody recorded: fit it again."""
    from perennial.evaluation.yardstick import fit_yardstick

    frame = flipping()
    return fit_yardstick(frame.iloc[80:280], SPEC, ()).predict(frame.iloc[440:520])


def test_recovered_is_zero_as_never_and_one_as_every() -> None:
    assert recovered(10.0, 10.0, 5.0, gains=True) == 0.0
    assert recovered(5.0, 10.0, 5.0, gains=True) == 1.0
    assert recovered(0.8, 0.7, 0.8, gains=True) == pytest.approx(1.0)


def test_where_retraining_gains_nothing_no_share_is_told() -> None:
    assert recovered(35.65, 32.78, 32.81, gains=False) is None
    told = nothing_to_recover(32.78, 32.81, 35.65, gains=False)
    assert told.startswith("nothing to recover: retraining at every window gains nothing here")
    assert told.endswith("(never 32.78, every 32.81); Perennial 35.65")
    assert nothing_to_recover(2.0, 1.0, 1.5, gains=True) == ""
    assert recovered(1.0, 2.0, 2.0, gains=True) is None


@pytest.mark.parametrize(
    ("gain", "clear"), [(0.0, False), (0.002, False), (0.2, True), (-1, False)]
)
def test_what_chance_may_give_is_no_gain(gain: float, clear: bool) -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(size=3_000)
    never, every = (y + rng.normal(0, sigma, 3_000) for sigma in (1.0, 1.0 - gain))
    frame = pd.DataFrame({"y": np.concatenate([[0.0] * 10, y])})
    frame.loc[[11, 20], "y"] = None
    assert every_gains(frame, SPEC, never[:, None], every[:, None]) is clear


def test_without_labels_nothing_is_gained() -> None:
    frame = pd.DataFrame({"y": [1.0, None, None]})
    assert not every_gains(frame, SPEC, np.zeros((2, 1)), np.ones((2, 1)))


def test_a_worker_has_one_thread_though_its_main_module_imports_libraries_first(tmp_path) -> None:
    main = tmp_path / "main.py"
    main.write_text(
        """
import sklearn.ensemble
from threadpoolctl import threadpool_info

from perennial.backtest.baselines import processes


def threads():
    return [pool["num_threads"] for pool in threadpool_info()]


if __name__ == "__main__":
    with processes(None, None, 1) as pool:
        print(set(pool.submit(threads).result()))
"""
    )
    environment = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"}
    done = subprocess.run(
        [sys.executable, main], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "{1}"
