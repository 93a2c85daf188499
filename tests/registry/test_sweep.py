"""What goes, what stays, and why."""

from __future__ import annotations

import contextlib
from datetime import timedelta

import pytest

from perennial.errors import SpecError
from perennial.registry import (
    change_state,
    list_versions,
    new_entry,
    read_history,
    read_state,
    register,
    write_file,
)
from perennial.registry.manifest import RefusedCandidate
from perennial.registry.sweep import Sweep, pin, plan_sweep, sweep, unpin
from perennial.registry.versions import refuse
from perennial.rollout.moves import put_back
from perennial.spec import Retention
from perennial.store import Store, acquire_lease, layout
from perennial.store.lease import utc_now
from tests.registry.test_versions import LINEAGE, manifest

STRICT = Retention(champions=1, others=timedelta(0))
LATER = timedelta(days=2)


@pytest.fixture
def filled(store: Store) -> Store:
    """Three versions, of which the last two were champion; a refused one; one never finished."""
    lease = acquire_lease(store, "p", "run")
    for version in ("0001-a", "0002-b", "0003-c"):
        files = {"model.onnx": write_file(store, "p", version, "model.onnx", version.encode())}
        lineage = LINEAGE.model_copy(update={"snapshot": f"data-{version}"})
        made = manifest(version, files).model_copy(
            update={"lineage": lineage, "created_at": utc_now()}
        )
        register(store, lease, made)
        store.put(layout.snapshot("p", lineage.snapshot), b"{}")
        store.put(layout.snapshot_data("p", lineage.snapshot), b"rows")
    for champion in ("0002-b", "0003-c"):
        change = {"champion": champion}
        entry = new_entry("rollout.promoted", reason="so", by="test")
        change_state(store, "p", lambda s, c=change: s.model_copy(update=c), entry)
    kept = {"reason": "worse", "keep_until": utc_now() + timedelta(days=30)}
    refuse(store, lease, RefusedCandidate(**dict(manifest("0004-d")), **kept))
    write_file(store, "p", "0005-e", "model.onnx", b"half")
    lease.release()
    return store


def planned(store: Store, retention: Retention = STRICT, after: timedelta = LATER) -> Sweep:
    return plan_sweep(store, "p", retention, now=utc_now() + after)


def test_nothing_younger_than_a_day_goes(filled: Store) -> None:
    plan = planned(filled, after=timedelta(hours=23))
    assert (plan.versions, plan.snapshots, plan.objects) == ({}, (), ())


def test_what_is_live_stays_and_the_rest_goes_with_its_snapshots(filled: Store) -> None:
    plan = planned(filled)
    assert plan.kept["0003-c"] == "champion"
    assert plan.kept["0004-d"].startswith("refused, kept until")
    assert list(plan.versions) == ["0001-a", "0002-b", "0005-e"]
    assert plan.snapshots == ("data-0001-a", "data-0002-b")


def test_champions_that_were_are_kept_as_declared(filled: Store) -> None:
    plan = planned(filled, Retention(champions=2, others=timedelta(0)))
    assert plan.kept["0002-b"] == "was champion"
    assert planned(filled, Retention()).kept["0001-a"] == "recent"
    assert "0001-a" in planned(filled, Retention(), timedelta(days=31)).versions


def test_a_pin_that_comes_behind_the_plan_spares_the_version(filled: Store) -> None:
    plan = planned(filled)
    assert "0001-a" in plan.versions
    pin(filled, "p", "0001", by="ann", why="for the audit")
    sweep(filled, plan, acquire_lease(filled, "p", "gc"), by="gc")
    assert "0001-a" in [made.version for made in list_versions(filled, "p")]
    assert filled.find(layout.snapshot("p", "data-0001-a")) is not None


def test_what_is_condemned_cannot_be_pinned_any_more(filled: Store) -> None:
    entry = new_entry("registry.swept", reason="so", by="gc")
    condemned = {"condemned": ("0001-a",)}
    change_state(filled, "p", lambda state: state.model_copy(update=condemned), entry)
    with pytest.raises(SpecError, match="0001-a of p is being removed"):
        pin(filled, "p", "0001", by="ann", why="for the audit")
    assert list(filled.scan(layout.pins("p"))) == []


def test_a_pinned_version_stays_until_the_pin_is_taken_away(filled: Store) -> None:
    assert pin(filled, "p", "0001", by="me", why="an audit") == "0001-a"
    assert planned(filled).kept["0001-a"] == "pinned"
    unpin(filled, "p", "0001-a")
    assert "0001-a" in planned(filled).versions


def test_a_refused_candidate_goes_when_its_time_is_over(filled: Store) -> None:
    assert "0004-d" in planned(filled, after=timedelta(days=31)).versions


def test_a_sweep_removes_what_was_planned_and_tells_the_history(filled: Store) -> None:
    plan = planned(filled)
    lease = acquire_lease(filled, "p", "gc")
    assert sweep(filled, plan, lease, by="gc") == len(plan.objects) == 9
    left = {info.key for info in filled.scan("p/versions/")} | {
        info.key for info in filled.scan("p/snapshots/")
    }
    assert left == {
        "p/versions/0003-c/manifest.json",
        "p/versions/0003-c/model.onnx",
        "p/versions/0004-d/refused.json",
        "p/snapshots/data-0003-c.json",
        "p/snapshots/data-0003-c.parquet",
    }
    assert list(read_history(filled, "p"))[-1].event == "registry.swept"
    assert planned(filled).objects == ()


def test_a_version_that_became_live_meanwhile_is_spared(filled: Store) -> None:
    plan = planned(filled)
    entry = new_entry("rollout.rolled_back", reason="so", by="test")
    change_state(filled, "p", lambda s: s.model_copy(update={"champion": "0001-a"}), entry)
    sweep(filled, plan, acquire_lease(filled, "p", "gc"), by="gc")
    kept = {info.key for info in filled.scan("p/")}
    for name in ("manifest.json", "model.onnx"):
        assert layout.version_file("p", "0001-a", name) in kept
    assert layout.snapshot_data("p", "data-0001-a") in kept
    assert layout.manifest("p", "0002-b") not in kept


def test_a_sweep_killed_anywhere_leaves_no_name_that_points_to_nothing(filled: Store) -> None:
    plan = planned(filled)
    for deletes in range(len(plan.objects) + 1):
        lease = acquire_lease(filled, "p", "gc")
        gone = iter(range(deletes))

        def delete(key: str, gone=gone, store=filled) -> None:
            if next(gone, None) is None:
                raise KeyboardInterrupt
            Store.delete(store, key)

        filled.delete = delete  # type: ignore[method-assign]
        with contextlib.suppress(KeyboardInterrupt):
            sweep(filled, planned(filled), lease, by="gc")
        del filled.delete
        if deletes == 0:  # all of it is there still, and none of it may be named any more
            assert "0001-a" in read_state(filled, "p").state.condemned
        with pytest.raises(SpecError):
            put_back(filled, "p", to="0001-a", why="so", by="test")
        if not planned(filled).objects:
            break
        lease.release()
    assert [m.version for m in list_versions(filled, "p")] == ["0003-c"]


def standing_on(store: Store, version: str, *others: str) -> None:
    """A champion whose graphs were trained by others."""
    names = ("first", "recent", "all")
    lineage = LINEAGE.model_copy(
        update={"snapshot": f"data-{version}", "bases": dict(zip(names, others, strict=False))}
    )
    lease = acquire_lease(store, "p", "run")
    made = {"lineage": lineage, "created_at": utc_now()}
    register(store, lease, manifest(version).model_copy(update=made))
    lease.release()
    entry = new_entry("rollout.promoted", reason="so", by="test")
    change_state(store, "p", lambda s: s.model_copy(update={"champion": version}), entry)


def test_all_versions_that_a_kept_one_stands_on_stay_with_their_snapshots(filled: Store) -> None:
    standing_on(filled, "0006-f", "0001-a", "0003-c", "0002-b")
    plan = planned(filled)
    assert plan.kept["0006-f"] == "champion"
    for name in ("0001-a", "0002-b", "0003-c"):
        assert plan.kept[name] == "0006-f stands on it"
    assert list(plan.versions) == ["0005-e"]
    assert plan.snapshots == ()


def test_what_only_a_version_that_goes_stands_on_goes_with_it(filled: Store) -> None:
    standing_on(filled, "0006-f", "0001-a", "0002-b")
    standing_on(filled, "0007-g", "0002-b")
    plan = planned(filled)
    assert plan.kept["0002-b"] == "0007-g stands on it"
    assert {"0001-a", "0003-c", "0006-f"} <= plan.versions.keys()


def test_all_that_a_version_stands_on_is_spared_where_it_became_live_meanwhile(
    filled: Store,
) -> None:
    standing_on(filled, "0006-f", "0001-a", "0002-b")
    standing_on(filled, "0007-g")
    plan = planned(filled)
    assert {"0001-a", "0002-b", "0003-c", "0006-f"} <= plan.versions.keys()
    entry = new_entry("rollout.rolled_back", reason="so", by="test")
    change_state(filled, "p", lambda s: s.model_copy(update={"champion": "0006-f"}), entry)
    sweep(filled, plan, acquire_lease(filled, "p", "gc"), by="gc")
    left = [made.version for made in list_versions(filled, "p")]
    assert left == ["0001-a", "0002-b", "0006-f", "0007-g"]
    kept = {info.key for info in filled.scan("p/snapshots/")}
    assert layout.snapshot_data("p", "data-0002-b") in kept
    assert layout.snapshot_data("p", "data-0003-c") not in kept
