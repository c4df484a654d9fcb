"""Solvers of small non-negative problems: least squares, quadratic descent, HALS, Gram sums."""
