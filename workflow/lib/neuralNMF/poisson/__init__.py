"""Poisson models of raw counts: learned programs, Poisson matrix factorization, labels as a guide.

Formulas: docs/poisson.md; what was measured: docs/poisson_measurements.md.
"""
