"""Faults on the real stack: seeded rounds, each of which must end with the loop converged.

``make test-faults`` runs them; tests/e2e/test_faults.py runs a few.
"""
