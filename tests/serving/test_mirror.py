"""From state.json to the line-up."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import onnx
import onnxruntime
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from perennial.errors import StoreError
from perennial.packaging.signature import Feature, Signature
from perennial.registry import Manifest, Runtime, read_history, read_manifest
from perennial.serving.lineup import LocalModels, replace_file
from perennial.serving.mirror import Mirror
from perennial.serving.models import ModelTable
from perennial.settings import Settings
from perennial.store import Store, StoredObject, layout, open_store
from perennial.store.memory import MemoryStore
from perennial.store.signing import Keys
from tests.serving.serving_models import REGRESSION, put_state, put_version, sum_model


@pytest.fixture
def models(tmp_path: Path) -> LocalModels:
    return LocalModels(tmp_path / "models")


@pytest.fixture
def mirror(store: Store, models: LocalModels) -> Mirror:
    return Mirror(store, models, by="test")


def test_the_stage_says_which_versions_are_held(store: Store, mirror: Mirror) -> None:
    for version in ("0001-a", "0002-b"):
        put_version(store, "bike", version, sum_model())
    stages = {
        "registered": ("0001-a", None, None),
        "shadow": ("0001-a", "0002-b", None),
        "canary": ("0001-a", "0002-b", None),
        "idle": ("0001-a", None, None),
    }
    for stage, (champion, challenger, previous) in stages.items():
        put_state(store, "bike", champion, challenger="0002-b", stage=stage, weight=0.25)
        assert mirror.sweep()
        placement = mirror.lineup.pipelines["bike"]
        assert (placement.champion, placement.challenger) == (champion, challenger)
        assert placement.previous == previous
        assert placement.weight == (0.25 if stage == "canary" else 0.0)
    put_state(store, "bike", "0002-b", previous="0001-a", stage="bake")
    mirror.sweep()
    assert mirror.lineup.pipelines["bike"].versions == ("0002-b", "0001-a")


def test_a_declared_pipeline_has_a_place_before_its_first_version(
    store: Store, models: LocalModels
) -> None:
    clock = [1000.0]
    mirror = Mirror(store, models, by="test", clock=lambda: clock[0])
    store.put("stray/note.txt", b"of nobody")
    store.put(layout.declaration("bike"), b"{}")
    mirror.sweep()
    assert set(mirror.lineup.pipelines) == {"bike"}
    assert mirror.lineup.pipelines["bike"].champion is None
    store.delete(layout.declaration("bike"))
    clock[0] += 2
    mirror.sweep()
    assert mirror.lineup.pipelines == {}


def test_a_round_without_news_changes_nothing(store: Store, mirror: Mirror) -> None:
    put_version(store, "bike", "0001-a", sum_model())
    put_state(store, "bike", "0001-a")
    assert mirror.sweep()
    assert not mirror.sweep()


def test_versions_that_cannot_be_served_are_refused_once(
    store: Store, models: LocalModels, mirror: Mirror
) -> None:
    narrow = Signature(task="regression", target="y", features=(Feature(name="x", kind="numeric"),))
    put_version(store, "bike", "0001-a", sum_model())
    put_version(store, "bike", "0002-b", sum_model(), damaged=True)
    put_version(store, "bike", "0003-c", b"no graph")
    put_version(store, "bike", "0004-d", sum_model(), narrow)
    reasons = {
        "0002-b": "sha256 differs",
        "0003-c": "cannot be loaded",
        "0004-d": "its signature says",
        "0005-e": "no manifest",
        "../../x": "no version",
    }
    put_state(store, "bike", "0001-a")
    mirror.sweep()
    for version, reason in reasons.items():
        put_state(store, "bike", version)
        mirror.sweep()
        placement = mirror.lineup.pipelines["bike"]
        assert placement.champion == "0001-a"
        assert reason in placement.refused[version]
    put_state(store, "bike", "0002-b", revision=9)
    Mirror(store, models, by="the same after a restart").sweep()
    events = [(entry.event, entry.version) for entry in read_history(store, "bike")]
    assert events == [("model.refused", version) for version in reasons]


def test_a_fresh_server_falls_back_to_the_previous_version(store: Store, mirror: Mirror) -> None:
    put_version(store, "bike", "0001-a", sum_model())
    put_version(store, "bike", "0002-b", sum_model(), damaged=True)
    put_state(store, "bike", "0002-b", previous="0001-a", stage="bake")
    mirror.sweep()
    placement = mirror.lineup.pipelines["bike"]
    assert placement.champion == "0001-a"
    assert "0002-b" in placement.refused


def test_a_refused_version_is_tried_again(store: Store, models: LocalModels) -> None:
    now = 1e9
    mirror = Mirror(store, models, by="test", clock=lambda: now)
    put_version(store, "bike", "0001-a", sum_model())
    put_state(store, "bike", "0001-a")
    mirror.sweep()
    put_state(store, "bike", "0002-b", previous="0001-a")
    mirror.sweep()
    assert mirror.lineup.pipelines["bike"].refused == {"0002-b": "it has no manifest"}
    put_version(store, "bike", "0002-b", sum_model())
    assert not mirror.sweep()
    now += 60
    assert mirror.sweep()
    assert mirror.lineup.pipelines["bike"].champion == "0002-b"
    assert mirror.lineup.pipelines["bike"].refused == {}


def test_a_state_that_cannot_be_read_leaves_the_models(store: Store, mirror: Mirror) -> None:
    put_version(store, "bike", "0001-a", sum_model())
    put_state(store, "bike", "0001-a")
    mirror.sweep()
    store.put(layout.state("bike"), b"{")
    assert not mirror.sweep()
    assert mirror.lineup.pipelines["bike"].champion == "0001-a"


def test_a_pipeline_that_is_gone_is_dropped(store: Store, mirror: Mirror) -> None:
    put_version(store, "bike", "0001-a", sum_model())
    put_state(store, "bike", "0001-a")
    mirror.sweep()
    store.delete(layout.state("bike"))
    assert mirror.sweep()
    assert mirror.lineup.pipelines == {}


def test_without_the_store_the_lineup_stays(
    settings: Settings, store: Store, models: LocalModels, mirror: Mirror
) -> None:
    put_version(store, "bike", "0001-a", sum_model(), REGRESSION)
    put_state(store, "bike", "0001-a")
    mirror.sweep()
    away = Settings(
        bucket=settings.bucket, s3_endpoint="http://127.0.0.1:9", access_key="a", secret_key="b"
    )
    later = Mirror(open_store(away, retries=1, timeout=1), models, by="test")
    with pytest.raises(StoreError):
        later.sweep()
    assert later.lineup.pipelines["bike"].champion == "0001-a"


def test_a_lineup_that_could_not_be_written_is_written_later(
    store: Store, models: LocalModels, mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_version(store, "bike", "0001-a", sum_model())
    put_state(store, "bike", "0001-a")
    mirror.sweep()
    put_version(store, "bike", "0002-b", sum_model())
    put_state(store, "bike", "0002-b", previous="0001-a", stage="bake")
    with monkeypatch.context() as full:
        full.setattr(LocalModels, "write_lineup", _no_space)
        with pytest.raises(OSError, match="No space"):
            mirror.sweep()
    assert mirror.sweep()
    lineup = models.read_lineup()
    assert lineup is not None
    assert lineup.pipelines["bike"].champion == "0002-b"


def _no_space(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_what_a_round_learned_before_the_store_went_away_is_not_forgotten(
    store: Store, mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("bike", "elec2"):
        put_version(store, name, "0001-a", sum_model())
        put_state(store, name, "0001-a")
    mirror.sweep()
    put_version(store, "bike", "0002-b", sum_model())
    put_state(store, "bike", "0002-b", previous="0001-a", stage="bake")
    get = Store.get_if_changed

    def goes_away(self: Store, key: str, etag: str | None) -> StoredObject | None:
        if key == layout.state("elec2"):
            raise StoreError("away")
        return get(self, key, etag)

    with monkeypatch.context() as away:
        away.setattr(Store, "get_if_changed", goes_away)
        with pytest.raises(StoreError, match="away"):
            mirror.sweep()
    assert mirror.sweep()
    assert mirror.lineup.pipelines["bike"].champion == "0002-b"


def test_half_a_file_does_not_stay(tmp_path: Path) -> None:
    (tmp_path / "file").mkdir()  # cannot be replaced by a file
    with pytest.raises(OSError, match="file"):
        replace_file(tmp_path / "file", b"content")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_graph_that_is_too_new_for_the_runtime_is_refused_with_both_named(
    store: Store, mirror: Mirror
) -> None:
    graph = onnx.ModelProto.FromString(sum_model())
    graph.opset_import[0].version = 999
    put_version(store, "bike", "0001-a", graph.SerializeToString())
    key = layout.manifest("bike", "0001-a")
    manifest = read_manifest(store, "bike", "0001-a")
    runtime = Runtime(ir=8, opsets={"": 999})
    store.put_json(key, manifest.model_copy(update={"runtime": runtime}))
    put_state(store, "bike", "0001-a")
    mirror.sweep()
    (reason,) = mirror.lineup.pipelines["bike"].refused.values()
    assert "IR 8, opset ai.onnx 999" in reason
    assert f"this server has {onnxruntime.__version__}" in reason


def test_a_runtime_older_than_that_of_the_gate_is_refused_unless_it_is_allowed(
    store: Store, models: LocalModels, mirror: Mirror, caplog: pytest.LogCaptureFixture
) -> None:
    put_version(store, "bike", "0001-a", sum_model())
    manifest = read_manifest(store, "bike", "0001-a")
    lineage = manifest.lineage.model_copy(update={"environment": {"onnxruntime": "99.1.0"}})
    newer = manifest.model_copy(update={"lineage": lineage})
    store.put_json(layout.manifest("bike", "0001-a"), newer)
    put_state(store, "bike", "0001-a")
    mirror.sweep()
    (reason,) = mirror.lineup.pipelines["bike"].refused.values()
    assert "it was made with onnxruntime 99.1.0" in reason
    assert "PERENNIAL_SERVE_OLDER_RUNTIME=1" in reason
    Mirror(store, models, by="test", older_runtime=True).sweep()
    assert models.read_lineup().pipelines["bike"].champion == "0001-a"
    assert "it was made with onnxruntime 99.1.0" in caplog.text


@pytest.fixture
def signed() -> MemoryStore:
    private = Ed25519PrivateKey.generate()
    store = MemoryStore()
    store.keys = Keys(private, (private.public_key(),))
    return store


def sign(store: Store, pipeline: str, version: str) -> None:
    """Sign a manifest that stands there."""
    key = layout.manifest(pipeline, version)
    manifest = Manifest.model_validate_json(store.get(key).data)
    signature = store.keys.sign(manifest.content_sha256.encode())
    store.put_json(key, manifest.model_copy(update={"signature": signature}))


def test_a_signed_version_of_another_pipeline_or_name_is_refused(
    signed: MemoryStore, models: LocalModels
) -> None:
    put_version(signed, "bike", "0001-a", sum_model())
    sign(signed, "bike", "0001-a")
    for pipeline, version in (("shop", "0001-a"), ("bike", "0002-b")):
        for name in ("manifest.json", "model.onnx", "signature.json"):
            found = signed.get(layout.version_file("bike", "0001-a", name))
            signed.put(layout.version_file(pipeline, version, name), found.data)
        put_state(signed, pipeline, version)
    mirror = Mirror(signed, models, by="test")
    mirror.sweep()
    for pipeline, version in (("shop", "0001-a"), ("bike", "0002-b")):
        placement = mirror.lineup.pipelines[pipeline]
        assert placement.champion is None
        assert placement.refused == {
            version: f"version {version} of {pipeline}: what lies there says that it is 0001-a of "
            "bike; it was put there by somebody else"
        }


def test_a_copy_from_before_the_keys_is_held_against_them(
    signed: MemoryStore, models: LocalModels
) -> None:
    keys, signed.keys = signed.keys, Keys()
    put_version(signed, "bike", "0001-a", sum_model())
    put_state(signed, "bike", "0001-a")
    Mirror(signed, models, by="test").sweep()
    signed.keys = keys
    later = Mirror(signed, models, by="test")
    later.sweep()
    placement = later.lineup.pipelines["bike"]
    assert "is not signed" in placement.refused["0001-a"]
    assert placement.champion is None
    sign(signed, "bike", "0001-a")
    again = Mirror(signed, models, by="test")
    again.sweep()
    assert again.lineup.pipelines["bike"].champion == "0001-a"


@pytest.mark.parametrize("name", ["model.onnx", "signature.json"])
def test_a_copy_that_was_damaged_is_served_by_nobody_and_fetched_anew(
    models: LocalModels, tmp_path: Path, name: str
) -> None:
    store = MemoryStore()
    put_version(store, "bike", "0001-a", sum_model())
    put_state(store, "bike", "0001-a")
    Mirror(store, models, by="test").sweep()
    copy = tmp_path / "models" / "bike" / "0001-a" / name
    whole = copy.read_bytes()
    copy.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    table = ModelTable(models)
    table.refresh()
    assert table.served == {}
    Mirror(store, models, by="test").sweep()
    assert copy.read_bytes() == whole
    table.refresh()
    assert table.served["bike"].champion is not None
