"""Which rows a version has learned from, the model that its mixture began with, and its trial."""

from __future__ import annotations

import pandas as pd

from perennial.datasets.snapshot import Snapshots, StoredSnapshots
from perennial.registry.manifest import TRIAL_FILE, Manifest
from perennial.registry.versions import base_of
from perennial.store import Store


def learned_by_base(
    store: Store, version: Manifest, snapshots: Snapshots | None = None
) -> pd.DataFrame:
    """The rows that the model knows with which a version's mixture began.

    Args:
        snapshots: of the pipeline; None: those in the store.

    Raises:
        NotFound: its base or snapshot is not in the store any more.
        StoreError: the snapshot was altered.
    """
    return _rows_of(store, base_of(store, version), snapshots)


def learned_by(store: Store, version: Manifest, snapshots: Snapshots | None = None) -> pd.DataFrame:
    """The rows up to the last one that any model in a version knows: small ones are fitted on all
    up to the newest, once the version was judged without them. Arguments and errors as
    `learned_by_base`."""
    return _rows_of(store, version, snapshots)


def learned_by_trial(
    store: Store, version: Manifest, snapshots: Snapshots | None = None
) -> pd.DataFrame | None:
    """The rows up to the last one that the trial of its first model knows; None: it was not kept.
    Arguments and errors as `learned_by_base`."""
    base = base_of(store, version)
    if TRIAL_FILE not in base.files:
        return None
    frame, recipe = _rows_of(store, base, snapshots), base.lineage.recipe
    return frame.iloc[: len(frame) - (recipe.trained_rows - recipe.trial_rows)]


def _rows_of(store: Store, version: Manifest, snapshots: Snapshots | None) -> pd.DataFrame:
    found = snapshots or StoredSnapshots(store, version.pipeline)
    return found.rows(version.lineage.snapshot)
