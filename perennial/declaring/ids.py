"""Columns that name rows and tell nothing: numbered, random, texts, UUIDs."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from perennial.declaring.kinds import is_text, is_whole
from perennial.evaluation.leakage.alone import explained_by
from perennial.evaluation.leakage.identifiers import as_identifier
from perennial.evaluation.leakage.target import Floats

_MANY = 0.9
"""A text column with this share of distinct values is taken for an identifier."""
_NAMED_MANY = 0.5
"""One whose name says so, too."""
_FEWEST = 20
_FEWEST_RANDOM = 100
"""Rows from which on it can be seen that a column tells nothing."""
_NAME = re.compile(
    r"(^|[_\W])(id|ids|uuid|guid|key|nr|no|num|number|code|ref|hash|token)$"
    r"|^(id|uuid|guid)[_\W]",
    re.IGNORECASE,
)
_CAMEL = re.compile(r"(?<=[a-z])(Id|ID|Nr|No|Key)$")
_UUID = re.compile(r"[0-9a-fA-F]{8}(-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}")
_TELLS_NOTHING = 0.02
"""Share of the target up to which a column counts as telling nothing."""
_UNIFORM = 0.01
"""Level of the test that numbers are spread evenly, as numbers drawn at random are."""


def name_of_rows(column: pd.Series, y: Floats) -> str | None:
    """Say why a column names rows; None: it does not.

    A number that was measured is none: neither one with a fraction, nor whole numbers that repeat,
    that crowd somewhere as amounts do, or that tell anything of the target.

    Args:
        y: the target as `target_columns` gives it, one row for each row of the column.
    """
    known = column.dropna()
    if len(known) < _FEWEST or known.nunique() < 2:
        return None
    share = known.nunique() / len(known)
    if is_text(known):
        return _named_by_text(known, share, says_id(str(column.name)))
    if not is_whole(known) or pd.api.types.is_bool_dtype(known):
        return None
    if _counts(known):
        return "counts the rows"
    if says_id(str(column.name)) and share > _MANY:
        return f"an id by its name, and {share:.0%} of its whole numbers differ"
    if as_identifier(column) is not None:
        return "numbers each row: whole numbers, none twice"
    if share < 1 or len(known) < _FEWEST_RANDOM:
        return None
    if _is_even(known) and explained_by(column, y) < _TELLS_NOTHING:
        return "random whole numbers, none twice, and they tell nothing of the target"
    return None


def says_id(name: str) -> bool:
    """Whether a column's name says that it identifies something: customer_id, orderNr, uuid."""
    return bool(_NAME.search(name) or _CAMEL.search(name))


def _named_by_text(known: pd.Series, share: float, named: bool) -> str | None:
    texts = known.astype(str)
    if share > _NAMED_MANY and texts.map(lambda text: bool(_UUID.fullmatch(text))).all():
        return "UUIDs"
    if share > _MANY:
        return "a different text in almost every row"
    if named and share > _NAMED_MANY:
        return f"an id by its name, and {share:.0%} of its texts differ"
    return None


def _counts(known: pd.Series) -> bool:
    """A running number: whole, and one more (or less) in every row."""
    steps = np.diff(known.to_numpy(dtype=np.float64))
    return bool((steps == 1).all() or (steps == -1).all())


def _is_even(known: pd.Series) -> bool:
    """Whether numbers are spread over their range as evenly as numbers drawn at random."""
    from scipy.stats import kstest

    values = known.to_numpy(dtype=np.float64)
    low, high = float(values.min()), float(values.max())
    return bool(kstest((values - low) / (high - low), "uniform").pvalue > _UNIFORM)
