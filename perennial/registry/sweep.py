"""What of the store nobody needs any more: found by marks, and removed beside whatever else runs.

Marked is what the state names, what a person pinned, the newest champions of the history, refused
candidates whose time is not over, and whatever is younger than a day, for it may belong to a run
that is under way. A snapshot is marked by every version and candidate that stays.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict

from perennial.errors import NotFound, SpecError
from perennial.registry.history import new_entry, read_history
from perennial.registry.manifest import Manifest
from perennial.registry.state import State, change_state, read_state
from perennial.registry.versions import find_refused, find_version, read_manifest
from perennial.spec import Retention
from perennial.store import Store, layout
from perennial.store.lease import Lease, utc_now
from perennial.store.objects import ObjectInfo

YOUNG = timedelta(days=1)
"""Nothing younger is ever removed."""


class Pin(BaseModel):
    """``pins/<version>.json``: a person keeps a version."""

    model_config = ConfigDict(frozen=True)

    format: Literal[1] = 1
    version: str
    by: str
    why: str
    at: AwareDatetime


@dataclass(frozen=True)
class Sweep:
    """What would stay, and what would go."""

    pipeline: str
    kept: dict[str, str]
    """Versions and candidates that stay, with the reason."""
    versions: dict[str, str]
    """Those that go, with the reason."""
    snapshots: tuple[str, ...]
    """sha256 of those that go."""
    objects: tuple[ObjectInfo, ...]
    """All that is to be removed."""

    @property
    def size(self) -> int:
        """Bytes of it."""
        return sum(info.size for info in self.objects)


def pin(store: Store, pipeline: str, name: str, *, by: str, why: str) -> str:
    """Keep a version for good; return it.

    A sweep that is under way looks at the pins once more when it condemns, and who pins looks at
    what is condemned: one of the two sees the other.

    Raises:
        SpecError: there is no such version, or a sweep is about to remove it.
    """
    version = find_version(store, pipeline, name).version
    key = layout.pin(pipeline, version)
    store.put_json(key, Pin(version=version, by=by, why=why, at=utc_now()))
    if version in read_state(store, pipeline).state.condemned:
        store.delete(key)
        raise SpecError(f"{version} of {pipeline} is being removed: its time was over")
    return version


def unpin(store: Store, pipeline: str, name: str) -> str:
    """Let a version go its way again; return it.

    Raises:
        SpecError: there is no such version.
    """
    version = find_version(store, pipeline, name).version
    store.delete(layout.pin(pipeline, version))
    return version


def plan_sweep(
    store: Store, pipeline: str, retention: Retention, *, now: datetime | None = None
) -> Sweep:
    """Mark what is needed; the rest is the plan. Nothing is changed.

    Raises:
        ModelError: a manifest was altered or damaged: nothing can be said of what it refers to.
    """
    now = now or utc_now()
    folders = _by_name(store, layout.versions(pipeline))
    kept: dict[str, str] = {}
    gone: dict[str, str] = {}
    needed: set[str] = set()
    marks = _marks(store, pipeline, retention)
    manifests = {version: _read(store, pipeline, version) for version in folders}
    for version, objects in folders.items():
        manifest = manifests[version]
        why = marks.get(version) or _lifetime(store, pipeline, version, manifest, retention, now)
        if why is None and _is_young(objects, now):
            why = "younger than a day"
        if why is not None:
            kept[version] = why
            recorded = manifest or find_refused(store, pipeline, version)
            needed |= {recorded.lineage.snapshot} if recorded is not None else set()
        else:
            gone[version] = "its time is over" if manifest else "refused or never finished"
    for version in list(kept):
        manifest = manifests[version]
        for name in () if manifest is None else manifest.lineage.bases.values():
            base = manifests.get(name)
            if base is not None and name in gone:
                kept[name] = f"{version} stands on it"
                needed.add(base.lineage.snapshot)
                del gone[name]
    snapshots = {
        name: objects
        for name, objects in _by_name(store, layout.snapshots(pipeline)).items()
        if name not in needed and not _is_young(objects, now)
    }
    doomed = [info for version in gone for info in folders[version]]
    doomed += [info for objects in snapshots.values() for info in objects]
    return Sweep(pipeline, kept, gone, tuple(snapshots), tuple(doomed))


def _marks(store: Store, pipeline: str, retention: Retention) -> dict[str, str]:
    """Versions that are live, pinned, or among the newest champions."""
    marks: dict[str, str] = {}
    champions = [
        entry.after.champion
        for entry in read_history(store, pipeline)
        if entry.after is not None and entry.after.champion is not None
    ]
    for version in list(dict.fromkeys(reversed(champions)))[: retention.champions]:
        marks[version] = "was champion"
    marks.update(dict.fromkeys(_pinned(store, pipeline), "pinned"))
    return {**marks, **_live(read_state(store, pipeline).state)}


def _pinned(store: Store, pipeline: str) -> set[str]:
    keys = (info.key for info in store.scan(layout.pins(pipeline)))
    return {key.rsplit("/", 1)[-1].removesuffix(".json") for key in keys}


def _live(state: State) -> dict[str, str]:
    roles = ("waiting", "previous", "challenger", "champion")
    return {version: role for role in roles if (version := getattr(state, role)) is not None}


def _lifetime(
    store: Store,
    pipeline: str,
    version: str,
    manifest: Manifest | None,
    retention: Retention,
    now: datetime,
) -> str | None:
    """Say why a version without a mark, or a refused candidate, stays for now."""
    if manifest is not None:
        return "recent" if manifest.created_at + retention.others > now else None
    refused = find_refused(store, pipeline, version)
    if refused is not None and refused.keep_until > now:
        return f"refused, kept until {refused.keep_until:%Y-%m-%d}"
    return None


def sweep(store: Store, plan: Sweep, lease: Lease, *, by: str) -> int:
    """Remove what a plan names, under the pipeline's lease: no retrain runs meanwhile.

    The state condemns the versions before they go, but those that it has come to name since the
    plan. A rollback that was about to name one loses its swap, looks again, and is refused. Killed
    anywhere, it leaves no name that points to nothing, and what is left over goes with the next
    sweep.

    Returns:
        How many objects were removed.

    Raises:
        LeaseLost: another run may change this pipeline by now.
    """
    lease.renew()
    spared = _condemn(store, plan, lease, by=by) if plan.versions else set()
    stay = [_recorded(store, plan.pipeline, version) for version in spared]
    needed = {record.lineage.snapshot for record in stay if record is not None}
    removed = 0
    # Manifests first: a version is whole or not there at all.
    for info in sorted(plan.objects, key=lambda info: not info.key.endswith("/manifest.json")):
        folder = info.key.split("/")[2].partition(".")[0]
        if folder in spared or folder in needed:
            continue
        lease.renew()
        store.delete(info.key)
        removed += 1
    return removed


def _condemn(store: Store, plan: Sweep, lease: Lease, *, by: str) -> set[str]:
    """Write into the state what goes; return what it names by now, and what that stands on."""
    spared: set[str] = set()

    def change(state: State) -> State:
        spared.clear()
        marked = _live(state).keys() | _pinned(store, plan.pipeline)
        for version in marked & plan.versions.keys():
            record = _recorded(store, plan.pipeline, version)
            spared.update({version, *(record.lineage.bases.values() if record else ())})
        condemned = tuple(version for version in plan.versions if version not in spared)
        return state.model_copy(update={"condemned": condemned})

    entry = new_entry(
        "registry.swept",
        reason=f"the time of {len(plan.versions)} versions and candidates is over",
        by=by,
        details={"versions": list(plan.versions), "snapshots": list(plan.snapshots)},
    )
    change_state(store, plan.pipeline, change, entry, fence=lease.token)
    return spared


def _recorded(store: Store, pipeline: str, version: str) -> Manifest | None:
    """What is told of a version or a refused candidate."""
    return _read(store, pipeline, version) or find_refused(store, pipeline, version)


def _read(store: Store, pipeline: str, version: str) -> Manifest | None:
    try:
        return read_manifest(store, pipeline, version)
    except NotFound:
        return None


def _by_name(store: Store, prefix: str) -> dict[str, list[ObjectInfo]]:
    """Objects by the folder, or the file's stem, right below a prefix."""
    found: dict[str, list[ObjectInfo]] = {}
    for info in store.scan(prefix):
        first = info.key.removeprefix(prefix).split("/")[0]
        stem = first if "/" in info.key.removeprefix(prefix) else first.partition(".")[0]
        found.setdefault(stem, []).append(info)
    return found


def _is_young(objects: list[ObjectInfo], now: datetime) -> bool:
    return max(info.modified for info in objects) > now - YOUNG
