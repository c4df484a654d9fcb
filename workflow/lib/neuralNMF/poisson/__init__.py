"""Poisson models of the counts: deviance, KL-NMF, Poisson matrix factorization, labels.

Formulas and measured choices: docs/poisson.md.
"""
