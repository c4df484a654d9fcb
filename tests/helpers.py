"""What several test files use: comparing programs."""

import numpy as np


def cosine(a, b):
    """Cosines of all pairs of rows: (m, M), (n, M) -> (m, n)."""
    a, b = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (a, b))
    return a @ b.T
