"""What a worker holds in memory: one loaded model a version, one line-up for all requests."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from perennial.errors import ModelError
from perennial.packaging.predictor import EncodedRows, Predictor
from perennial.packaging.signature import Signature
from perennial.serving.lineup import LocalModels, Placement
from perennial.serving.oip import InferOutput, outputs
from perennial.serving.one_row import OneRowReader, OneRowWriter
from perennial.serving.rows import RowDecoder
from perennial.serving.tensors import TensorEncoder

logger = logging.getLogger(__name__)

SLOW = 0.001
"""Seconds that an event loop may wait for a model."""
_NEWEST = 0.05
_TRIED = 48
_TIMED = 5
_MISSING = 0.1
_RETRY = 10.0
"""Seconds until what could not be loaded is tried again."""


class LoadedModel:
    """One version, ready to answer."""

    def __init__(self, pipeline: str, version: str, model: bytes, signature: bytes) -> None:
        self.pipeline = pipeline
        self.version = version
        self.signature = Signature.model_validate_json(signature)
        self.signature_json = signature.decode()
        self.predictor = Predictor(model, self.signature)
        self.rows = RowDecoder(self.signature)
        self.tensors = TensorEncoder(self.signature)
        self.outputs = [InferOutput(name) for name, *_ in outputs(self.signature)]
        self.one_row = OneRowReader(self.signature, self.rows)
        self.writer = OneRowWriter(pipeline, version, self.signature)
        self.row_seconds, self.takes_batches = try_batches(self.predictor)
        """What a row took of late, in seconds of the processor; and whether rows of several
        requests may go into one call."""

    @property
    def is_slow(self) -> bool:
        """Whether one row takes longer than an event loop may be held up."""
        return self.row_seconds > SLOW

    def predict(self, rows: EncodedRows) -> NDArray[np.float32]:
        """Answer rows, and keep in mind how long that took.

        Raises:
            RequestError: a number is infinite, or beyond what a float32 holds.
            ModelError: as `Predictor.predict`.
        """
        began = time.thread_time()
        numeric, categorical = rows.inputs()
        if numeric is not None and np.isinf(numeric).any():
            rows.refuse_infinite(self.signature)
        output = self.predictor.predict(numeric, categorical)
        seconds = (time.thread_time() - began) / len(output)
        self.row_seconds += (seconds - self.row_seconds) * _NEWEST
        return output


def try_batches(predictor: Predictor) -> tuple[float, bool]:
    """See what a row costs, and whether an answer depends on the rows beside it.

    Sums of floats depend on their order, and some operators order them by the size of the batch: a
    model that shows any difference, in one bit of one of many random rows, is asked row by row.

    Returns:
        Seconds of one row; whether rows of several requests may share a call: not those of a model
        that fails for any of the rows.
    """
    random = np.random.default_rng(0)
    width, texts = len(predictor.signature.numeric), len(predictor.signature.categorical)
    scale = 10.0 ** random.uniform(-2, 4, size=(_TRIED, width))
    numbers = (random.normal(size=(_TRIED, width)) * scale).astype(np.float32)
    numbers[random.random(numbers.shape) < _MISSING] = np.nan
    names = random.choice(np.array(["", "a", "b"], dtype=object), size=(_TRIED, texts))

    def ask(rows: slice) -> NDArray[np.float32]:
        return predictor.predict(numbers[rows] if width else None, names[rows] if texts else None)

    try:
        seconds = _time(lambda: ask(slice(0, 1)))
        if seconds > SLOW:
            return seconds, False
        alone = np.concatenate([ask(slice(i, i + 1)) for i in range(_TRIED)])
        together = [
            np.concatenate([ask(slice(i, i + size)) for i in range(0, _TRIED, size)])
            for size in (2, 3, 7, 16, _TRIED)
        ]
    except ModelError:
        return 0.0, False
    return seconds, all(alone.tobytes() == answers.tobytes() for answers in together)


def _time(call: Callable[[], object]) -> float:
    """The shortest of several calls, in seconds; of one that takes very long there is one."""
    shortest = math.inf
    for _ in range(_TIMED):
        began = time.thread_time()
        call()
        shortest = min(shortest, time.thread_time() - began)
        if shortest > 10 * SLOW:
            break
    return shortest


@dataclass(frozen=True, slots=True)
class Served:
    """What answers for one pipeline now."""

    placement: Placement
    champion: LoadedModel | None
    challenger: LoadedModel | None
    warm: tuple[LoadedModel, ...]
    """Loaded, and asked only when it is named."""

    @property
    def models(self) -> list[LoadedModel]:
        """All that are loaded, the champion first."""
        return [m for m in (self.champion, self.challenger, *self.warm) if m is not None]

    def version(self, name: str) -> LoadedModel | None:
        """Find a loaded version."""
        return next((model for model in self.models if model.version == name), None)


class ModelTable:
    """All pipelines of a worker. `refresh` replaces `served`; a request reads it once."""

    def __init__(self, models: LocalModels) -> None:
        self._models = models
        self._stamp: tuple[int, int] | None = None
        self._retry_at = math.inf
        self.served: dict[str, Served] = {}
        self.failures = 0
        """Versions that the mirror had verified and this worker could not load."""

    @property
    def is_filled(self) -> bool:
        """Whether a line-up was ever read."""
        return self._stamp is not None

    def is_stale(self) -> bool:
        """Tell, cheaply, whether there is a line-up that was not loaded yet, or not all of it."""
        return time.monotonic() >= self._retry_at or self._find_stamp() not in (None, self._stamp)

    def refresh(self) -> None:
        """Load what the line-up names and the table lacks, then replace the table at once.

        A pipeline whose models cannot be loaded keeps what it has, and is tried again: the mirror
        could load them, so the fault may pass.
        """
        stamp = self._find_stamp()
        lineup = self._models.read_lineup()
        if lineup is None:
            return
        old = self.served
        served: dict[str, Served] = {}
        failed = False
        for name, placement in lineup.pipelines.items():
            before = old.get(name)
            if before is not None and before.placement == placement:
                served[name] = before
                continue
            try:
                served[name] = self._load(name, placement, before)
            except (ModelError, OSError, ValueError) as error:
                self.failures += 1
                failed = True
                logger.error("pipeline %s keeps its models: %s", name, error)
                if before is not None:
                    served[name] = before
        self.served = served
        self._stamp = stamp
        self._retry_at = time.monotonic() + _RETRY if failed else math.inf

    def _load(self, name: str, placement: Placement, before: Served | None) -> Served:
        loaded = {}
        for version in placement.versions:
            kept = before.version(version) if before is not None else None
            if kept is None:
                copied = self._models.read(name, version, placement.copies.get(version))
                kept = LoadedModel(name, version, *copied)
            loaded[version] = kept
        champion, challenger = placement.champion, placement.challenger
        return Served(
            placement,
            loaded[champion] if champion is not None else None,
            loaded[challenger] if challenger is not None else None,
            tuple(model for v, model in loaded.items() if v not in (champion, challenger)),
        )

    def _find_stamp(self) -> tuple[int, int] | None:
        try:
            found = self._models.lineup_file.stat()
        except FileNotFoundError:
            return None
        return found.st_mtime_ns, found.st_ino
