"""Models of a few rounds: what is tested here is who learns from which rows, not how well."""

from __future__ import annotations

import pytest

import perennial.training.hist_gradient_boosting as boosting


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boosting, "ROUNDS", 20)
    monkeypatch.setattr(boosting, "BINS", 15)
