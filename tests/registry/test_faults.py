"""A registration killed after every single write, and eight at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from perennial.registry import list_versions, read_file, read_history, read_manifest, read_state
from perennial.settings import Settings
from perennial.store import Store
from tests.registry.registering import FILES, PIPELINE, once


def start(settings: Settings, what: str, run: str, number: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.registry.registering", what, run, str(number)],
        env={
            **os.environ,
            "PERENNIAL_S3_ENDPOINT": settings.s3_endpoint or "",
            "PERENNIAL_BUCKET": settings.bucket,
            "AWS_ACCESS_KEY_ID": settings.access_key or "",
            "AWS_SECRET_ACCESS_KEY": settings.secret_key or "",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> int:
    said, complained = process.communicate(timeout=120)
    assert process.returncode == 0, complained
    return int(said)


def inspect(store: Store) -> None:
    """What must hold at every moment: versions are whole, the state names what is there."""
    for manifest in list_versions(store, PIPELINE):
        assert set(manifest.files) == set(FILES)
        for name in manifest.files:
            read_file(store, manifest, name)
    state = read_state(store, PIPELINE).state
    for version in (state.champion, state.challenger, state.previous, state.waiting):
        assert version is None or read_manifest(store, PIPELINE, version).version == version


def numbers(store: Store) -> list[int]:
    """Revisions in the history, with that of the last change, which its writer may owe."""
    entries = {entry.id: entry for entry in read_history(store, PIPELINE)}
    last = read_state(store, PIPELINE).state.last_change
    if last is not None:
        entries[last.id] = last
    return sorted(entry.revision or 0 for entry in entries.values())


def test_a_registration_killed_after_any_write_leaves_a_version_whole_or_none(
    store: Store, settings: Settings
) -> None:
    writes = finish(start(settings, "once", "the first", 0))
    assert writes >= len(FILES) + 4  # the lease, its files, the manifest, the state, its history
    fence = read_state(store, PIPELINE).state.fence
    for kill_at in range(1, writes + 1):
        run = f"run {kill_at}"
        killed = start(settings, "once", run, kill_at)
        killed.communicate(timeout=60)
        assert killed.returncode == -signal.SIGKILL
        inspect(store)
        # The same run again, as a restarted flow: it finishes.
        once(store, run, kill_at=0)
        inspect(store)
        state = read_state(store, PIPELINE).state
        assert state.fence > fence
        fence = state.fence
        assert numbers(store) == list(range(1, state.revision + 1))
        assert read_manifest(store, PIPELINE, state.challenger).lineage.run == run


def at_once(store: Store, settings: Settings, seconds: float) -> int:
    """Let eight processes register and swap; return how many rounds were won."""
    racers = [start(settings, "race", f"racer {n}", seconds) for n in range(8)]
    won = sum(finish(racer) for racer in racers)
    inspect(store)
    state = read_state(store, PIPELINE).state
    found = list_versions(store, PIPELINE)
    assert state.revision == len(found) == won
    assert len({manifest.fence for manifest in found}) == won
    assert numbers(store) == list(range(1, won + 1))
    return won


def test_of_eight_at_once_one_wins_each_round(store: Store, settings: Settings) -> None:
    assert at_once(store, settings, 5) > 1


@pytest.mark.slow
def test_of_eight_at_once_one_wins_each_round_for_a_minute(
    store: Store, settings: Settings
) -> None:
    assert at_once(store, settings, 60) > 10
