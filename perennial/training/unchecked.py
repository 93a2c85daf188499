"""scikit-learn's boosted trees without its checks of rows and settings.

Ours come from a `TrainingSet` and from constants, and of a small model the checks take a
twentieth of the fit and a third of an answer's time.
"""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray


class Unchecked:
    """Put before one of scikit-learn's boosters, it takes what it is given for floats or bins in an
    array (rows, columns), none of them categorical."""

    def _validate_params(self) -> None: ...

    def _preprocess_X(self, X: NDArray[Any], *, reset: bool) -> Any:  # noqa: N802
        if not reset:
            return X
        self.is_categorical_ = self._is_categorical_remapped = self._preprocessor = None
        self.n_features_in_ = X.shape[1]
        return X, None
