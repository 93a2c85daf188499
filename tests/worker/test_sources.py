"""What is imported ahead, and how a change of the code is seen."""

from __future__ import annotations

import os
from importlib.util import find_spec

import pytest

from worker.sources import (
    OWN_PACKAGES,
    default_preload,
    fingerprint,
    modules_of,
    package_folders,
)


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "things"
    (folder / "inner").mkdir(parents=True)
    for name in ("__init__.py", "one.py", "inner/__init__.py", "inner/two.py", "note.txt"):
        (folder / name).write_text("")
    return folder


def test_a_packages_modules_are_named(folder):
    assert sorted(modules_of(folder)) == [
        "things",
        "things.inner",
        "things.inner.two",
        "things.one",
    ]


def test_the_projects_own_packages_are_found_and_others_left_out():
    found = [folder.name for folder in package_folders([*OWN_PACKAGES, "no_such_package"])]
    assert found == list(OWN_PACKAGES)


def test_only_packages_that_are_installed_are_imported_ahead():
    named = {module.partition(".")[0] for module in default_preload()}
    assert named >= {"prefect", "pandas", "tasks"}
    assert [name for name in named if find_spec(name) is None] == []


def test_a_change_an_addition_and_a_removal_are_seen(folder):
    seen = [fingerprint([folder])]
    assert fingerprint([folder]) == seen[0]
    (folder / "note.txt").write_text("no code")
    assert fingerprint([folder]) == seen[0]
    (folder / "one.py").write_text("x = 1\n")
    seen.append(fingerprint([folder]))
    os.utime(folder / "one.py", ns=(1, 1))
    seen.append(fingerprint([folder]))
    (folder / "three.py").write_text("")
    seen.append(fingerprint([folder]))
    (folder / "inner" / "two.py").unlink()
    seen.append(fingerprint([folder]))
    assert len(set(seen)) == len(seen)
