"""What a version is made of: ``manifest.json``, and ``refused.json`` of one that was not let in."""

from __future__ import annotations

import json
from typing import Any, Literal, TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from perennial.errors import ModelError
from perennial.registry.sealed import Sealed
from perennial.spec import BaseName, Depth, MemberName, Task

MODEL_FILE = "model.onnx"
BASE_FILES: dict[BaseName, str] = {"recent": "recent.onnx", "all": "all.onnx"}
"""The trained graphs alone of a version that has refitted them. A version that begins a mixture is
one model: ``model.onnx`` is its `first`."""
TRIAL_FILE = "trial.onnx"
"""The trained graph of its trial, of a version whose own was made anew of all rows: later
candidates can be held against it on the newest, which it does not know."""
TRIAL_SIGNATURE_FILE = "trial-signature.json"
"""What that takes and gives: only the newest rows may have held a class."""
SOURCE_STEM = "source"
"""The trained model as its library has it: ``source.skops``, ``source.safetensors``."""
SIGNATURE_FILE = "signature.json"
METRICS_FILE = "metrics.json"
REFERENCE_FILE = "reference.parquet"
GATE_FILE = "gate.json"
JUDGED_FILE = "judged.parquet"
"""The rows by which its trial was judged, and what the trial answered."""
SPEC_FILE = "spec.json"
ENVIRONMENT_FILE = "environment.json"
CARD_FILE = "model.md"
PAGE_FILE = "model.html"
ROLLOUT_PAGE = "rollout.html"
"""How its rollout stands, or ended; written anew while it lasts, so no part of the manifest."""
BAKE_PAGE = "bake.html"
"""The same of its bake."""

FORMAT = 1


class FileEntry(BaseModel):
    """A file of a version: sha256 of its bytes, and how many there are."""

    model_config = ConfigDict(frozen=True)

    sha256: str
    size: int


class Recipe(BaseModel):
    """With the snapshot, the spec and the seed: what makes the same model again.

    A trial, which has not learned from the rows that judge it, finds out what is to be made; what
    ships is made in the same way from all rows.
    """

    model_config = ConfigDict(frozen=True)

    estimators: tuple[str, ...] = ()
    """Families that competed; those left out by the time budget or a glance are not among them.
    None competes where a version goes on with what stands."""
    rounds: int | None = None
    """Boosting rounds or epochs of trained graphs, as the first trial has chosen them; None: the
    family has no such thing, or none was trained."""
    trained_rows: int
    """That the largest of the models made for it has learned from."""
    bases: dict[BaseName, int] = Field(default_factory=dict)
    """Rows that each trained graph which was made for it has learned from. Of one that is refitted,
    they end before those judged."""
    head_rows: int = 0
    """The newest rows of the snapshot, on which its small models are fitted; 0: it has none."""
    trial_rows: int
    """That the largest model of the trial has learned from."""
    judged_rows: int
    """The newest rows of the snapshot, by which the trial was judged."""
    shares: dict[MemberName, float] = Field(default_factory=dict)
    """Of each member in the answer; none: `first` answers alone."""


class Lineage(BaseModel):
    """Where a version came from."""

    model_config = ConfigDict(frozen=True)

    snapshot: str
    """sha256 of the training data."""
    spec: str
    """sha256 of the declaration."""
    code: str
    """Version of Perennial that trained it."""
    sources: str
    """sha256 over the Python files of Perennial."""
    revision: str | None = None
    """Commit that the code was checked out at; None: it was not in a checkout."""
    environment: dict[str, str]
    """Releases of the libraries that shape the model."""
    lock: str
    """sha256 of ``environment.json``: every installed distribution, Python, the machine's kind."""
    threads: int
    """Threads that a fit uses."""
    seed: int
    recipe: Recipe
    parent: str | None
    """The champion that it was held against."""
    reason: str
    cause: str | None
    """Key of the check that asked for it."""
    run: str
    """The flow run that made it."""
    estimator: str
    depth: Depth = "retrain"
    bases: dict[BaseName, str] = Field(default_factory=dict)
    """The versions whose trained graphs stand in this one; those that are not named are its own, or
    there are none."""


class Runtime(BaseModel):
    """What a graph asks of the runtime that serves it."""

    model_config = ConfigDict(frozen=True)

    ir: int
    """Version of ONNX's intermediate representation."""
    opsets: dict[str, int]
    """Version of each set of operators, by domain."""

    def __str__(self) -> str:
        sets = ", ".join(f"{name or 'ai.onnx'} {number}" for name, number in self.opsets.items())
        return f"IR {self.ir}, opset {sets}"


class Manifest(Sealed):
    """``manifest.json``: written last."""

    model_config = ConfigDict(frozen=True)

    format: Literal[1] = 1
    pipeline: str
    version: str
    task: Task
    created_at: AwareDatetime
    fence: int
    """Lease token under which it was registered."""
    files: dict[str, FileEntry]
    lineage: Lineage
    runtime: Runtime
    metrics: dict[str, Any] = Field(default_factory=dict)


class RefusedCandidate(Manifest):
    """``refused.json``: a candidate that its gate did not let in; its reasons are in gate.json."""

    reason: str
    keep_until: AwareDatetime


M = TypeVar("M", bound=Manifest)


def parse_manifest(kind: type[M], data: bytes, where: str) -> M:
    """Read a ``manifest.json`` or ``refused.json``.

    Raises:
        ModelError: it was altered or damaged, or is of another format; names ``where``.
    """
    try:
        found = json.loads(data)
        number = found.get("format") if isinstance(found, dict) else None
        if isinstance(number, int) and number != FORMAT:
            raise ModelError(
                f"{where} has format {number}, this release reads {FORMAT}: it was damaged, or "
                "another release of Perennial made it"
            )
        return kind.model_validate_json(data)
    except (ValueError, ValidationError) as error:
        raise ModelError(f"{where} cannot be read: {_first(error)}") from None


def _first(error: ValueError) -> str:
    if isinstance(error, ValidationError):
        fault = error.errors()[0]
        return f"{'.'.join(map(str, fault['loc']))} {fault['msg']}".strip()
    return str(error)
