"""Which rows a version has learned from: its base, its base's trial, and the head on it."""

from __future__ import annotations

import pandas as pd

from perennial.datasets.snapshot import Snapshots, StoredSnapshots
from perennial.registry.manifest import TRIAL_FILE, Manifest
from perennial.registry.versions import base_of
from perennial.store import Store


def learned_by_base(
    store: Store, version: Manifest, snapshots: Snapshots | None = None
) -> pd.DataFrame:
    """The rows of its snapshot up to the last one that the weights of a version's base know.

    Args:
        snapshots: of the pipeline; None: those in the store.

    Raises:
        NotFound: its base or snapshot is not in the store any more.
        StoreError: the snapshot was altered.
    """
    base = base_of(store, version)
    frame = _rows_of(store, base, snapshots)
    return frame.iloc[: len(frame) - base.lineage.recipe.head_rows]


def learned_by(store: Store, version: Manifest, snapshots: Snapshots | None = None) -> pd.DataFrame:
    """The rows up to the last one that any weight of a version knows, its head's too; arguments and
    errors as `learned_by_base`."""
    if not version.lineage.recipe.shares:
        return learned_by_base(store, version, snapshots)
    # A head is fitted on all rows up to the newest, once it was judged without them.
    return _rows_of(store, version, snapshots)


def learned_by_trial(
    store: Store, version: Manifest, snapshots: Snapshots | None = None
) -> pd.DataFrame | None:
    """The rows up to the last one that the trial of a version's base knows; None: it was not kept.
    Arguments and errors as `learned_by_base`."""
    base = base_of(store, version)
    if TRIAL_FILE not in base.files:
        return None
    frame, recipe = _rows_of(store, base, snapshots), base.lineage.recipe
    return frame.iloc[: len(frame) - (recipe.trained_rows - recipe.trial_rows)]


def _rows_of(store: Store, version: Manifest, snapshots: Snapshots | None) -> pd.DataFrame:
    found = snapshots or StoredSnapshots(store, version.pipeline)
    return found.rows(version.lineage.snapshot)
