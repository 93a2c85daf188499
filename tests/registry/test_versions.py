from datetime import UTC, datetime

import pytest

from perennial.errors import Conflict, LeaseLost, ModelError
from perennial.registry import (
    Lineage,
    Manifest,
    Recipe,
    list_versions,
    next_version,
    read_file,
    read_manifest,
    register,
    write_file,
)
from perennial.store import acquire_lease, layout

LINEAGE = Lineage(
    snapshot="s",
    spec="s",
    code="0",
    environment={},
    seed=0,
    recipe=Recipe(trained_rows=0, trial_rows=0, judged_rows=0),
    parent=None,
    reason="test",
    cause=None,
    run="test",
    estimator="linear",
)


def manifest(version, files=None):
    return Manifest(
        pipeline="p",
        version=version,
        task="regression",
        created_at=datetime(2030, 1, 1, tzinfo=UTC),
        fence=1,
        files=files or {},
        lineage=LINEAGE,
    )


def test_a_version_is_there_with_its_manifest_and_not_before(store):
    entry = write_file(store, "p", "0001-a", "model.onnx", b"graph")
    assert list_versions(store, "p") == []
    made = manifest("0001-a", {"model.onnx": entry})
    register(store, acquire_lease(store, "p", "run"), made)
    assert list_versions(store, "p") == [made]
    assert read_file(store, read_manifest(store, "p", "0001-a"), "model.onnx") == b"graph"


def test_a_run_that_lost_its_lease_cannot_register(store):
    stale = acquire_lease(store, "p", "slow run")
    acquire_lease(store, "p", "next run", has_ended=lambda holder: holder == "slow run")
    with pytest.raises(LeaseLost):
        register(store, stale, manifest("0001-a"))
    assert list_versions(store, "p") == []


def test_a_version_cannot_be_replaced(store):
    lease = acquire_lease(store, "p", "run")
    register(store, lease, manifest("0001-a"))
    with pytest.raises(Conflict):
        register(store, lease, manifest("0001-a").model_copy(update={"fence": 2}))


@pytest.mark.parametrize("damage", [b"", b"grapi", b"graph\0"])
def test_a_file_that_was_altered_is_refused(store, damage):
    entry = write_file(store, "p", "0001-a", "model.onnx", b"graph")
    store.put(layout.version_file("p", "0001-a", "model.onnx"), damage)
    with pytest.raises(ModelError, match="sha256 differs"):
        read_file(store, manifest("0001-a", {"model.onnx": entry}), "model.onnx")


def test_versions_are_numbered_through_and_refused_candidates_count(store):
    first = next_version(store, "p", b"graph")
    assert first.startswith("0001-")
    write_file(store, "p", first, "model.onnx", b"graph")
    assert next_version(store, "p", b"graph").startswith("0002-")
