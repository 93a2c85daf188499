"""A registration killed after every single write, and eight at once."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection

import pytest

from perennial.registry import list_versions, read_file, read_history, read_manifest, read_state
from perennial.settings import Settings
from perennial.store import Store, open_store
from tests.registry.registering import FILES, PIPELINE, once, race

WARM = multiprocessing.get_context("forkserver")
"""Forks of a process that has imported all of this already."""
WARM.set_forkserver_preload([__name__])


class Registering:
    """``what(store, *arguments)`` in a process of its own."""

    def __init__(self, settings: Settings, what: Callable[..., int], *arguments: object) -> None:
        self._answer, answer = WARM.Pipe(duplex=False)
        self._process = WARM.Process(target=tell, args=(answer, settings, what, arguments))
        self._process.start()
        answer.close()

    def answer(self) -> int:
        assert self._answer.poll(120)
        told = self._answer.recv()
        assert self.exit_code() == 0
        return int(told)

    def exit_code(self) -> int | None:
        self._process.join(60)
        return self._process.exitcode


def tell(
    answer: Connection, settings: Settings, what: Callable[..., int], arguments: tuple[object, ...]
) -> None:
    answer.send(what(open_store(settings), *arguments))


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
    writes = Registering(settings, once, "the first", 0).answer()
    assert writes >= len(FILES) + 4  # the lease, its files, the manifest, the state, its history
    fence = read_state(store, PIPELINE).state.fence
    for kill_at in range(1, writes + 1):
        run = f"run {kill_at}"
        killed = Registering(settings, once, run, kill_at)
        assert killed.exit_code() == -signal.SIGKILL
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
    racers = [Registering(settings, race, f"racer {n}", seconds) for n in range(8)]
    won = sum(racer.answer() for racer in racers)
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
