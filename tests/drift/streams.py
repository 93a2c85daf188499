"""Small streams for the tests of detectors."""

from __future__ import annotations

import numpy as np
import pandas as pd

from perennial.packaging.signature import Feature

FEATURES = (
    Feature(name="heat", kind="numeric"),
    Feature(name="wind", kind="numeric"),
    Feature(name="place", kind="categorical"),
)


def rows(n: int, seed: int = 0, correlation: float = 0.8) -> pd.DataFrame:
    """Independent rows; heat and wind go together."""
    rng = np.random.default_rng(seed)
    heat, rest = rng.normal(size=(2, n))
    return pd.DataFrame(
        {
            "heat": 20 + 3 * heat,
            "wind": correlation * heat + np.sqrt(1 - correlation**2) * rest,
            "place": rng.choice(["a", "b", "c"], n, p=[0.6, 0.3, 0.1]),
        }
    )
