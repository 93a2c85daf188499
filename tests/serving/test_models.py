"""What a worker holds in memory, while the disk is not at its best."""

from __future__ import annotations

from pathlib import Path

import pytest

from perennial.serving import models as module
from perennial.serving.lineup import Lineup, LocalModels, Placement
from perennial.serving.models import ModelTable
from tests.serving.serving_models import REGRESSION, sum_model


def test_a_model_that_cannot_be_loaded_for_now_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models, signature = LocalModels(tmp_path), REGRESSION.model_dump_json().encode()
    models.add("bike", "0001-a", sum_model(), signature)
    models.write_lineup(Lineup({"bike": _standing("0001-a")}))
    table = ModelTable(models)
    table.refresh()
    models.write_lineup(Lineup({"bike": _standing("0002-b")}))
    monkeypatch.setattr(module, "_RETRY", 0.0)
    table.refresh()
    assert _champion(table) == "0001-a"
    models.add("bike", "0002-b", sum_model(), signature)
    assert table.is_stale()
    table.refresh()
    assert _champion(table) == "0002-b"
    assert not table.is_stale()


def _champion(table: ModelTable) -> str | None:
    return table.served["bike"].placement.champion


def _standing(champion: str) -> Placement:
    return Placement(revision=1, stage="idle", weight=0.0, champion=champion)
