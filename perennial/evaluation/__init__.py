"""Metrics, paired tests and the gate."""
