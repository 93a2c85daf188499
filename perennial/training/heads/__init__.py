"""Small models on top of a base, fitted on the newest rows: heals that are not a retrain."""

from perennial.training.heads.fit import cost, fit_head
from perennial.training.heads.head import Head, HeadDepth

__all__ = ["Head", "HeadDepth", "cost", "fit_head"]
