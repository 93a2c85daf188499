"""What a version was made by: the code, and everything installed beside it."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

import perennial

SHAPING = ("numpy", "scikit-learn", "scipy", "torch", "onnx", "onnxruntime", "pandas", "pyarrow")
"""Libraries whose release shapes a model's bytes."""
THREADS = 1
"""Threads of a fit; see `perennial.threads`."""


class Environment(BaseModel):
    """``environment.json``: the lock of what a version was made in."""

    model_config = ConfigDict(frozen=True)

    format: Literal[1] = 1
    python: str
    machine: str
    """Kind of processor, such as x86_64: bits of a fit depend on it."""
    system: str
    threads: int
    distributions: dict[str, str]
    """Release of every installed distribution, by its name in lower case."""

    @property
    def shaping(self) -> dict[str, str]:
        """The part that shapes a model."""
        return {name: self.distributions[name] for name in SHAPING if name in self.distributions}

    def requirements(self) -> str:
        """The lock as pip reads it."""
        return "".join(f"{name}=={release}\n" for name, release in self.distributions.items())

    def differences(self, other: Environment) -> dict[str, tuple[str, str]]:
        """What differs in what shapes a model: here, there."""
        mine = {"python": self.python, "machine": self.machine, "threads": str(self.threads)}
        theirs = {"python": other.python, "machine": other.machine, "threads": str(other.threads)}
        mine, theirs = {**mine, **self.shaping}, {**theirs, **other.shaping}
        return {
            name: (mine.get(name, "none"), theirs.get(name, "none"))
            for name in sorted({*mine, *theirs})
            if mine.get(name) != theirs.get(name)
        }


@cache
def describe_environment() -> Environment:
    """Describe this process's environment.

    The folders' names are read, not the metadata inside: a tenth of the time.
    """
    found = dict(
        folder.name.removesuffix(".dist-info").lower().replace("_", "-").rsplit("-", 1)
        for place in reversed(sys.path)
        if Path(place).is_dir()
        for folder in Path(place).glob("*.dist-info")
    )
    return Environment(
        python=platform.python_version(),
        machine=platform.machine(),
        system=platform.system(),
        threads=THREADS,
        distributions=dict(sorted(found.items())),
    )


@cache
def source_sha256() -> str:
    """Fingerprint of the code that trains: the same in every checkout of one revision."""
    root = Path(perennial.__file__).parent
    digest = hashlib.sha256()
    for file in sorted(root.rglob("*.py")):
        name = file.relative_to(root).as_posix()
        digest.update(f"{name}\0{hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


@cache
def code_revision() -> str | None:
    """The commit that the code was checked out at; None where it is not in a checkout of its own.

    Changes that were not committed are not seen here: `source_sha256` tells.
    """
    root = Path(perennial.__file__).parent.parent
    if not (root / ".git").exists():
        return None
    try:
        told = subprocess.run(
            ["git", "-C", str(root), "rev-parse", "HEAD"],
            capture_output=True,
            check=True,
            env={"PATH": os.environ.get("PATH", "")},
            text=True,
            timeout=5,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return told.stdout.strip() or None
