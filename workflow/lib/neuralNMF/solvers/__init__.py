"""Solvers of non-negative problems: least squares, quadratic models, HALS; and Gram matrices."""
