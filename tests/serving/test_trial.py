"""A version's own server, before anybody knows of the version."""

import numpy as np
import psutil
import pytest

from perennial.errors import ModelError, StackError
from perennial.serving.trial import trial_server
from tests.serving.serving_models import REGRESSION, sum_model

NUMERIC = np.array([[1, 2], [np.nan, 4]], np.float32)
CATEGORICAL = np.array([["a"], [""]], object)


def test_the_real_server_answers_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = set(psutil.Process().children())
    with trial_server(sum_model(), REGRESSION) as server:
        assert server.ask(NUMERIC, CATEGORICAL).tolist() == [[4.0], [4.0]]
    assert set(psutil.Process().children()) == before
    assert list(tmp_path.iterdir()) == []


def test_a_graph_that_the_server_cannot_load_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with (
        trial_server(b"no graph", REGRESSION) as server,
        pytest.raises(ModelError, match="the server answers 404"),
    ):
        server.ask(NUMERIC, CATEGORICAL)


def test_a_disk_that_takes_no_log_is_not_the_models_fault(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with trial_server(sum_model(), REGRESSION) as server:
        (place,) = tmp_path.iterdir()
        (place / "log").rmdir()
        (place / "log").touch()  # so that it cannot hold a folder
        with pytest.raises(StackError, match=r"cannot try .* log cannot be written"):
            server.ask(NUMERIC, CATEGORICAL)


def test_a_server_that_does_not_start_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    broken = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(tmp_path / "x"), "PYTHONHOME": "/nowhere"}
    with (
        trial_server(sum_model(), REGRESSION, environ=broken) as server,
        pytest.raises(ModelError, match="does not start"),
    ):
        server.ask(NUMERIC, CATEGORICAL)
