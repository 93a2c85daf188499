"""Small models on top of a base, fitted on the newest rows: heals that are not a retrain."""

from perennial.training.heads.fit import fit_head, fit_heads
from perennial.training.heads.head import Head
from perennial.training.heads.mixed import mix_heads

__all__ = ["Head", "fit_head", "fit_heads", "mix_heads"]
