"""A version comes out of the store whole and checked, with the model that was trained."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from perennial.cli import app
from perennial.errors import ModelError, PerennialError, SpecError
from perennial.export import read_export, read_source, write_folder
from perennial.packaging.export import export
from perennial.registry import Manifest, describe_environment, register, write_file
from perennial.registry.manifest import (
    ENVIRONMENT_FILE,
    MODEL_FILE,
    PAGE_FILE,
    REFERENCE_FILE,
    SIGNATURE_FILE,
)
from perennial.store import Store, acquire_lease, layout
from perennial.training.source import dump_source, load_source
from perennial.training.train import Trained, train
from tests.registry.test_versions import manifest
from tests.training.frames import make_frame, make_spec

FRAME = make_frame("binary", "numeric")


@pytest.fixture(scope="module")
def trained() -> Trained:
    return train(FRAME, make_spec("binary", "linear"))


def registered(store: Store, trained: Trained, **changes: bytes | None) -> Manifest:
    """A version of a trained model, with other content for some of its files."""
    buffer = io.BytesIO()
    FRAME.to_parquet(buffer)
    name, source = dump_source(trained.estimator, trained.model)
    files = {
        MODEL_FILE: export(trained.model, trained.signature),
        SIGNATURE_FILE: trained.signature.model_dump_json().encode(),
        REFERENCE_FILE: buffer.getvalue(),
        PAGE_FILE: b"<html></html>",
        ENVIRONMENT_FILE: describe_environment().model_dump_json().encode(),
        name: source,
        **changes,
    }
    return written(store, "0001-first", files)


def written(store: Store, version: str, files: dict[str, Any], **lineage: Any) -> Manifest:
    entries = {
        name: write_file(store, "p", version, name, data)
        for name, data in files.items()
        if data is not None
    }
    blank = manifest(version)
    told = blank.lineage.model_copy(update={"estimator": "linear", **lineage})
    made = blank.model_copy(update={"files": entries, "lineage": told})
    lease = acquire_lease(store, "p", "a run")
    register(store, lease, made)
    lease.release()
    return made


def test_the_command_writes_what_the_store_holds(
    store: Store, trained: Trained, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERENNIAL_S3_ENDPOINT", settings.s3_endpoint)
    monkeypatch.setenv("PERENNIAL_BUCKET", settings.bucket)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", settings.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", settings.secret_key)
    store.put(layout.declaration("p"), b"{}")
    made = registered(store, trained)
    folder = tmp_path / "out" / "here"
    arguments = ["export", "p", "0001", "--to", str(folder), "--source"]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert "source.skops answers as its graph does" in result.output
    names = {MODEL_FILE, SIGNATURE_FILE, PAGE_FILE, "source.skops"}
    assert {file.name for file in folder.iterdir()} == names | {"requirements.txt"}
    assert "scikit-learn==" in (folder / "requirements.txt").read_text()
    for name in names:
        stored = store.get(layout.version_file("p", made.version, name)).data
        assert (folder / name).read_bytes() == stored
    assert load_source("linear", (folder / "source.skops").read_bytes()).rounds is None


def test_the_source_of_a_mixture_is_that_of_the_model_it_began_with(
    store: Store, trained: Trained
) -> None:
    first = registered(store, trained)
    mixture = {MODEL_FILE: b"a graph of several models", SIGNATURE_FILE: b"{}"}
    bases = {"first": first.version, "recent": "0007-other"}
    mixed = written(store, "0002-mixed", mixture, bases=bases, depth="correct")
    source = read_source(store, mixed)
    assert (source.of, source.has_others, source.rows > 0) == (first.version, True, True)
    assert not read_source(store, first).has_others


def test_an_altered_file_is_refused(store: Store, trained: Trained) -> None:
    made = registered(store, trained)
    for name, read in ((PAGE_FILE, read_export), ("source.skops", read_source)):
        key = layout.version_file("p", made.version, name)
        data = bytearray(store.get(key).data)
        data[len(data) // 2] ^= 1
        store.put(key, bytes(data))
        with pytest.raises(ModelError, match=f"{name} of version 0001-first.*altered or damaged"):
            read(store, made)


def test_a_source_that_answers_otherwise_is_refused(store: Store, trained: Trained) -> None:
    other = train(FRAME.assign(y=1 - FRAME["y"]), make_spec("binary", "linear"))
    made = registered(store, trained, **{"source.skops": other.model.to_source()})
    with pytest.raises(ModelError, match="does not answer as its graph"):
        read_source(store, made)


def test_a_version_of_a_release_that_kept_no_source_is_told(store: Store, trained: Trained) -> None:
    made = registered(store, trained, **{"source.skops": None})
    with pytest.raises(SpecError, match="has no source model"):
        read_source(store, made)


def test_nothing_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(PerennialError, match="is not empty"):
        write_folder(tmp_path, {"model.onnx": b""})
    with pytest.raises(PerennialError, match="cannot be made"):
        write_folder(tmp_path / "mine" / "below", {"model.onnx": b""})
