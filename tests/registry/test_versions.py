from datetime import UTC, datetime

import pytest

from benchmarks.versions import LINEAGE, RUNTIME
from perennial.errors import Conflict, LeaseLost, ModelError, NotFound
from perennial.registry import (
    Manifest,
    base_of,
    bases_of,
    list_versions,
    next_version,
    read_base,
    read_file,
    read_manifest,
    register,
    write_file,
)
from perennial.registry.manifest import BASE_FILES
from perennial.store import acquire_lease, layout


def manifest(version, files=None):
    return Manifest(
        pipeline="p",
        version=version,
        task="regression",
        created_at=datetime(2030, 1, 1, tzinfo=UTC),
        fence=1,
        files=files or {},
        lineage=LINEAGE,
        runtime=RUNTIME,
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


def put(store, version, files, **bases):
    """A version with these files, whose other graphs were trained by others."""
    entries = {name: write_file(store, "p", version, name, data) for name, data in files.items()}
    made = manifest(version, entries)
    made = made.model_copy(update={"lineage": LINEAGE.model_copy(update={"bases": bases})})
    lease = acquire_lease(store, "p", "run")
    register(store, lease, made)
    lease.release()
    return made


def test_the_graphs_that_stand_in_a_version_are_found_where_they_were_trained(store):
    one = put(store, "0001-a", {"model.onnx": b"first"})
    assert bases_of(store, one) == {"first": one}
    assert read_base(store, one) == b"first"
    files = {"model.onnx": b"a mixture", BASE_FILES["recent"]: b"2", BASE_FILES["all"]: b"all"}
    two = put(store, "0002-b", files, first="0001-a")
    assert bases_of(store, two) == {"first": one, "recent": two, "all": two}
    files = {"model.onnx": b"another", BASE_FILES["recent"]: b"3"}
    three = put(store, "0003-c", files, first="0001-a", all="0002-b")
    found = bases_of(store, three)
    assert found == {"first": one, "recent": three, "all": two}
    assert list(found) == ["first", "recent", "all"]
    assert [read_base(store, of, name) for name, of in found.items()] == [b"first", b"3", b"all"]
    assert base_of(store, three) == one


def test_a_version_whose_graphs_are_gone_says_so(store):
    lost = put(store, "0002-b", {"model.onnx": b"a mixture"}, first="0001-a")
    with pytest.raises(NotFound):
        bases_of(store, lost)
