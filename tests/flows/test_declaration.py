"""What is said of a declaration as it is found."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest

from perennial.registry import Declaration
from perennial.spec import PipelineSpec, Policy, Source, detectors
from tasks import declaration


@pytest.mark.parametrize(("names", "warnings"), [(("moments",), 0), (("tabular", "moments"), 1)])
def test_a_detector_without_its_package_is_warned_of_once(names, warnings, monkeypatch, caplog):
    spec = PipelineSpec(
        name="toy",
        task="regression",
        source=Source(uri="rows.csv"),
        target="y",
        policy=Policy(detectors=names),
    )
    monkeypatch.setattr(detectors, "find_spec", lambda _: None)
    monkeypatch.setattr(declaration, "store", lambda: None)
    monkeypatch.setattr(
        declaration, "settings", lambda: SimpleNamespace(pipeline_folders=(), trusted_folders=())
    )
    monkeypatch.setattr(declaration, "resolve", lambda *_: Declaration(spec=spec))
    monkeypatch.setattr(declaration, "_keep_pipeline", lambda _: None)
    monkeypatch.setattr(declaration, "get_run_logger", lambda: logging.getLogger("run"))
    assert declaration.find_pipeline.fn("toy").spec == spec
    found = [record.getMessage() for record in caplog.records if record.name == "run"]
    assert len(found) == warnings
    assert all("toy: policy.detectors: tabular needs alibi-detect" in text for text in found)
