"""From the store to the local line-up: what every state.json says, verified and copied."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable

import msgspec
import numpy as np
import onnxruntime
from pydantic import ValidationError

from perennial.errors import ModelError, NotFound
from perennial.packaging.predictor import Predictor
from perennial.packaging.signature import Signature
from perennial.registry import Manifest, State, append_history, new_entry, read_file, read_manifest
from perennial.registry.manifest import MODEL_FILE, SIGNATURE_FILE
from perennial.serving.lineup import Copy, Lineup, LocalModels, Placement
from perennial.store import Store, layout

logger = logging.getLogger(__name__)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_LIST_EVERY = 1.0
_KEEP_COPIES = 600.0
_NOTHING_YET = Placement(revision=0, stage="idle", weight=0.0, champion=None)
_TRY_AGAIN = 60.0
"""Seconds until a refused version is tried again: it may have been memory that was short."""


class Mirror:
    """Follows all pipelines of a bucket.

    Args:
        store: opened with few retries: a store that is away is asked again at the next round.
        models: where verified copies and the line-up go.
        by: names this server in the history.
        older_runtime: whether a version may be served by an older release of onnxruntime than the
            one on which it passed its gate.
    """

    def __init__(
        self,
        store: Store,
        models: LocalModels,
        *,
        by: str,
        older_runtime: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._models = models
        self._by = by
        self._older_runtime = older_runtime
        self._clock = clock
        self._lineup = models.read_lineup()
        # What was learned stays known when a round ends early: its etags will not tell it again.
        self._placements = dict(self.lineup.pipelines)
        self._reported = {*self.lineup.reported}
        self._copies = {
            (name, version): copy
            for name, placement in self._placements.items()
            for version, copy in placement.copies.items()
        }
        self._sound: set[tuple[str, str]] = set()
        """Copies that this process has verified."""
        self._etags: dict[str, str] = {}
        self._names: list[str] = []
        self._listed_at = self._declared_at = 0.0
        self._declared: dict[str, bool] = {}
        self._tried_at = clock()

    @property
    def lineup(self) -> Lineup:
        """The line-up as last written."""
        return self._lineup or Lineup()

    def sweep(self) -> bool:
        """Look at every pipeline once, and write the line-up if anything changed.

        Returns:
            Whether it changed.

        Raises:
            StoreError: the store is away; the line-up stays as it is.
            OSError: the disk does not take it; the next round writes it.
        """
        self._forget_refusals()
        for name in self._pipelines():
            self._follow(name)
        if self._lineup is not None and self._placements == self._lineup.pipelines:
            return False
        lineup = Lineup(pipelines=dict(self._placements), reported=sorted(self._reported))
        self._models.write_lineup(lineup)
        self._lineup = lineup
        self._models.remove_unused(lineup, self._clock() - _KEEP_COPIES)
        return True

    def _forget_refusals(self) -> None:
        if self._clock() - self._tried_at >= _TRY_AGAIN:
            for name, placement in self._placements.items():
                if placement.refused:
                    self._etags.pop(name, None)
            self._tried_at = self._clock()

    def _pipelines(self) -> list[str]:
        if self._clock() - self._listed_at >= _LIST_EVERY:
            self._names = [name for name in self._store.folders() if _NAME.fullmatch(name)]
            self._listed_at = self._clock()
        gone = self._placements.keys() - set(self._names)
        return [*self._names, *sorted(gone)]

    def _follow(self, name: str) -> None:
        """Bring one pipeline's placement up to its state.json."""
        try:
            found = self._store.get_if_changed(layout.state(name), self._etags.get(name))
        except NotFound:
            self._etags.pop(name, None)
            if self._is_declared(name):
                self._placements[name] = _NOTHING_YET
            else:
                self._placements.pop(name, None)
            return
        if found is None:
            return
        try:
            state = State.model_validate_json(found.data)
        except ValidationError as error:
            logger.error("state.json of %s cannot be read, its models stay: %s", name, error)
        else:
            self._placements[name] = self._place(name, state, self._placements.get(name))
        self._etags[name] = found.etag

    def _is_declared(self, name: str) -> bool:
        """Whether a pipeline without a state is one that has no version yet; asked as often as
        pipelines are listed."""
        if self._declared_at != self._listed_at:
            self._declared, self._declared_at = {}, self._listed_at
        if name not in self._declared:
            self._declared[name] = self._store.find(layout.declaration(name)) is not None
        return self._declared[name]

    def _place(self, name: str, state: State, old: Placement | None) -> Placement:
        refused: dict[str, str] = {}

        def usable(version: str | None) -> bool:
            if version is None or version in refused:
                return False
            reason = self._obtain(name, version)
            if reason is not None:
                refused[version] = reason
            return reason is None

        fallbacks = (old.champion if old else None, state.previous)
        champion = next((v for v in (state.champion, *fallbacks) if usable(v)), None)
        challenger = state.challenger if state.stage in ("shadow", "canary") else None
        previous = state.previous if state.stage == "bake" else None
        placement = Placement(
            revision=state.revision,
            stage=state.stage,
            weight=state.weight if state.stage == "canary" else 0.0,
            champion=champion if state.champion is not None else None,
            challenger=challenger if usable(challenger) else None,
            previous=previous if usable(previous) else None,
            refused=refused,
        )
        self._report(name, refused)
        known = {version: self._copies.get((name, version)) for version in placement.versions}
        copies = {version: copy for version, copy in known.items() if copy is not None}
        return msgspec.structs.replace(placement, copies=copies)

    def _has_sound_copy(self, name: str, version: str) -> bool:
        """Tell whether a version is here as it was verified. At the first look it is held against
        its manifest again where keys are configured, as they may be others by now, and else
        against what the line-up says.

        Raises:
            NotFound, ModelError: as `read_manifest`.
        """
        if not self._models.has(name, version):
            return False
        if (name, version) in self._sound:
            return True
        if self._store.keys.trusted:
            self._copies[name, version] = _copy_of(read_manifest(self._store, name, version))
        try:
            self._models.read(name, version, self._copies.get((name, version)))
        except (ModelError, OSError) as error:
            logger.error("%s: it is fetched anew", error)
            return False
        self._sound.add((name, version))
        return True

    def _obtain(self, name: str, version: str) -> str | None:
        """Verify and copy a version unless it is here; return why it is refused, if it is."""
        if not _NAME.fullmatch(version):
            return "its name is no version"
        try:
            if self._has_sound_copy(name, version):
                return None
            manifest = read_manifest(self._store, name, version)
            difference = _runtime_difference(manifest)
            if difference is not None and not self._older_runtime:
                return f"{difference}, which is older; PERENNIAL_SERVE_OLDER_RUNTIME=1 serves it"
            model = read_file(self._store, manifest, MODEL_FILE)
            signature = read_file(self._store, manifest, SIGNATURE_FILE)
            try:
                try_out(model, signature)
            except ModelError as error:
                raise ModelError(f"{error}{_made_for(manifest)}") from error
        except NotFound:
            return "it has no manifest"
        except (ModelError, ValidationError) as error:
            return " ".join(str(error).split())
        self._models.add(name, version, model, signature)
        self._copies[name, version] = Copy.of(model, signature)
        self._sound.add((name, version))
        if difference is not None:
            logger.warning("version %s of %s loads, but %s", version, name, difference)
        return None

    def _report(self, name: str, refused: dict[str, str]) -> None:
        for version, reason in refused.items():
            if (name, version) in self._reported:
                continue
            logger.error("version %s of %s is refused: %s", version, name, reason)
            entry = new_entry("model.refused", version=version, reason=reason, by=self._by)
            append_history(self._store, name, entry)
            self._reported.add((name, version))


def _copy_of(manifest: Manifest) -> Copy:
    """What a version's copy is made of.

    Raises:
        ModelError: a file is missing in the manifest.
    """
    try:
        files = manifest.files
        return Copy(files[MODEL_FILE].sha256, files[SIGNATURE_FILE].sha256)
    except KeyError as error:
        raise ModelError(f"its manifest names no {error.args[0]}") from None


def _made_for(manifest: Manifest) -> str:
    """Name what a graph asks of the runtime, where that may be what it lacks here."""
    return f" (it has {manifest.runtime}; {_runtimes(manifest)})"


def _runtime_difference(manifest: Manifest) -> str | None:
    """Name a runtime that is older than the one on which the version passed its gate."""
    made = manifest.lineage.environment.get("onnxruntime")
    if made is None or _release(made) <= _release(onnxruntime.__version__):
        return None
    return _runtimes(manifest)


def _runtimes(manifest: Manifest) -> str:
    made = manifest.lineage.environment.get("onnxruntime", "another release")
    return f"it was made with onnxruntime {made}, this server has {onnxruntime.__version__}"


def _release(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:2])


def try_out(model: bytes, signature: bytes) -> None:
    """Load a model and let it answer one row of missing values.

    Raises:
        ModelError: it does not load, or its answer has another shape than its signature says.
        ValidationError: the signature cannot be read.
    """
    parsed = Signature.model_validate_json(signature)
    numeric = np.full((1, len(parsed.numeric)), np.nan, dtype=np.float32)
    categorical = np.full((1, len(parsed.categorical)), "", dtype=object)
    Predictor(model, parsed).predict(
        numeric if parsed.numeric else None, categorical if parsed.categorical else None
    )
