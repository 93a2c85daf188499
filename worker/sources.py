"""What the warm process has imported, and whether it has changed on disk since."""

from __future__ import annotations

import contextlib
import importlib.util
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

OWN_PACKAGES = ("flows", "tasks", "perennial", "worker")
PRELOADED = ("tasks", "perennial", "flows")
APART = tuple(
    f"perennial.{part}"
    for part in ("__main__", "alerts", "cli", "demo", "local.__main__", "reproduce", "serving")
)
"""Programs and services of their own, which no flow is made of."""
LIBRARIES = (
    "prefect.engine",
    "prefect.flow_engine",
    "prefect.task_engine",
    "prefect.deployments.steps.core",
    "prefect.artifacts",
    "prefect.events",
    "boto3",
    "pandas",
    "pyarrow.parquet",
    "scipy.stats",
    "sklearn.ensemble",
    "sklearn.linear_model",
    "sklearn.compose",
    "torch",
    "onnx",
    "onnxruntime",
    "great_expectations",
    "skops.io",
    # What those import only once they are used.
    "anyio._backends._asyncio",
    "pandas.core.arrays.arrow.extension_types",
    "prefect.utilities.visualization",
    "pyarrow.dataset",
    "pyarrow.pandas_compat",
    "rich._emoji_codes",
)
OPTIONAL = ("alibi_detect.cd",)
"""Preloaded where they are installed: not every Python has them."""


def package_folders(names: Iterable[str] = OWN_PACKAGES) -> list[Path]:
    """Locate packages without importing them; those that are not installed are left out."""
    specs = (importlib.util.find_spec(name) for name in names)
    return [
        Path(place) for spec in specs if spec for place in spec.submodule_search_locations or ()
    ]


def modules_of(folder: Path) -> Iterator[str]:
    """Name the modules of a package folder."""
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder.parent).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def default_preload() -> list[str]:
    """Name what flows need: the libraries, then the project's own tasks and what they may import,
    also later, and the flows."""
    mine = [module for folder in package_folders(PRELOADED) for module in modules_of(folder)]
    there = [name for name in OPTIONAL if importlib.util.find_spec(name.partition(".")[0])]
    return [*LIBRARIES, *there, *(module for module in mine if not module.startswith(APART))]


def fingerprint(folders: Iterable[Path]) -> frozenset[tuple[str, int, int]]:
    """Name, time of change and size of every Python file below some folders."""
    found = set()
    for place, _, names in (step for folder in folders for step in os.walk(folder)):
        for name in names:
            if name.endswith(".py"):
                path = Path(place, name)
                with contextlib.suppress(FileNotFoundError):  # an editor replaced it just now
                    stat = path.stat()
                    found.add((str(path), stat.st_mtime_ns, stat.st_size))
    return frozenset(found)
