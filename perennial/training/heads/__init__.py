"""Small models on top of a base, fitted on the newest rows: heals that are not a retrain."""

from perennial.training.heads.fit import fit_heads
from perennial.training.heads.head import Head

__all__ = ["Head", "fit_heads"]
