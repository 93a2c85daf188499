"""Perennial: the self-healing model.

A model in production notices that its world has changed, retrains, proves itself, takes over, and
steps back if it was wrong. This package holds the formats and the decisions; it imports no Prefect.
What happens in which order stands in ``flows/``, one step each in ``tasks/``.
"""

__version__ = "0.1.0"
