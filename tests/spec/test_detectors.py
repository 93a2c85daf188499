"""A detector whose package is not there says so, and the others look."""

from __future__ import annotations

from importlib.machinery import ModuleSpec

import numpy as np
import pandas as pd
import pytest

from perennial.drift import build_detector
from perennial.packaging.signature import Feature
from perennial.spec import Policy, detectors, unusable, usable


@pytest.fixture(params=[False, True], ids=["without alibi-detect", "with alibi-detect"])
def there(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    found = ModuleSpec("alibi_detect", None) if request.param else None
    monkeypatch.setattr(detectors, "find_spec", lambda _: found)
    return bool(request.param)


def test_what_can_look_is_kept(there: bool) -> None:
    both = Policy(detectors=("tabular", "classifier"))
    assert usable(both).detectors == (both.detectors if there else ("classifier",))


def test_moments_looks_where_no_detector_is_left(there: bool) -> None:
    assert usable(Policy(detectors=("tabular",))).detectors == (
        ("tabular",) if there else ("moments",)
    )


def test_it_is_said_which_package_is_missing_and_what_looks_instead(there: bool) -> None:
    assert unusable(Policy()) is None
    told = unusable(Policy(detectors=("tabular",)))
    assert told is None if there else told is not None
    if told is not None:
        assert "tabular needs alibi-detect" in told
        assert told.endswith("moments looks without it")


@pytest.mark.parametrize("there", [False], indirect=True)
def test_the_detectors_that_are_left_share_the_whole_level(there: bool) -> None:
    rows = pd.DataFrame({"x": np.random.default_rng(0).normal(size=400)})
    features = (Feature(name="x", kind="numeric"),)
    alone, beside = (
        build_detector(Policy(detectors=names), rows, features, window_rows=100).check(rows + 0.3)
        for names in (("moments",), ("moments", "tabular"))
    )
    assert alone == beside
