"""Which rows a version has learned from: its base, and the head that answers with it."""

from __future__ import annotations

import pandas as pd

from perennial.datasets.snapshot import find_snapshot, load_snapshot
from perennial.errors import ModelError
from perennial.registry.manifest import Manifest, Recipe
from perennial.registry.versions import base_of
from perennial.store import Store


def learned_by_base(store: Store, version: Manifest) -> pd.DataFrame:
    """The rows of its snapshot up to the last one that the weights of a version's base know.

    Raises:
        NotFound: its base or snapshot is not in the store any more.
        StoreError: the snapshot was altered.
        ModelError: the version does not say what it was trained on.
    """
    base = base_of(store, version)
    frame = _snapshot(store, base)
    return frame.iloc[: len(frame) - _left_out(base)]


def left_out_by_base(store: Store, version: Manifest) -> pd.DataFrame:
    """The newest rows of its snapshot, which the weights of a version's base do not know; errors
    as `learned_by_base`."""
    base = base_of(store, version)
    frame = _snapshot(store, base)
    return frame.iloc[len(frame) - _left_out(base) :]


def learned_by(store: Store, version: Manifest) -> pd.DataFrame:
    """The rows up to the last one that any weight of a version knows, its head's too; errors as
    `learned_by_base`."""
    if not recipe_of(version).shares:
        return learned_by_base(store, version)
    # A head is fitted on all rows up to the newest, once it was judged without them.
    return _snapshot(store, version)


def recipe_of(version: Manifest) -> Recipe:
    """What a version was made by.

    Raises:
        ModelError: it was not recorded.
    """
    if version.lineage.recipe is None:
        raise ModelError(
            f"{version.version} of {version.pipeline} does not say which rows it was trained on: "
            "it was made by hand, or damaged"
        )
    return version.lineage.recipe


def _left_out(base: Manifest) -> int:
    recipe = recipe_of(base)
    return recipe.head_rows or recipe.holdout_rows


def _snapshot(store: Store, version: Manifest) -> pd.DataFrame:
    name = version.lineage.snapshot
    return load_snapshot(store, find_snapshot(store, version.pipeline, name))
