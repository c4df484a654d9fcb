"""Which planted program is which found one."""

import numpy as np
from scipy.optimize import linear_sum_assignment


def matched(found: np.ndarray, planted: np.ndarray) -> list[float]:
    """Cosines of the one-to-one match of programs (rows) that is best in all, rising."""
    units = [b / np.linalg.norm(b, axis=1, keepdims=True).clip(1e-30) for b in (found, planted)]
    cosines = units[0] @ units[1].T
    return sorted(cosines[linear_sum_assignment(-cosines)].tolist())
