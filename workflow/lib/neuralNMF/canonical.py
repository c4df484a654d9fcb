"""One form for each factorisation (architecture.md, `canonical`).

Programs sum to 1, are ordered by usage, and dead ones come last.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Factors:
    """A factorisation in canonical form.

    Shape: thetas[0] (N, k_1), thetas[l] (k_l, k_{l+1}); betas[l] (k_{l+1}, M); dead[l] (k_{l+1},).
    """

    thetas: list[np.ndarray]
    betas: list[np.ndarray]
    dead: list[np.ndarray]


def canonical(thetas: Sequence[np.ndarray], betas: Sequence[np.ndarray]) -> Factors:
    """The same product with programs that sum to 1, in a fixed order.

    beta_l -> D_l beta_l, Theta_l -> D_{l-1} Theta_l D_l^-1 with D_l = 1 / row sums of beta_l.

    The product Theta_1 ... Theta_L beta_L stays what it was. Theta_1 then holds each cell's
    expression per program and row i of Theta_l (l >= 2) what share of fine program i each coarse
    program makes up. A program that no cell uses or whose beta is zero is dead: its row, and
    everything that leads to it, becomes zero.
    """
    scaled_thetas, scaled_betas, dead = [], [], []
    rows = np.arange(thetas[0].shape[0])
    before = np.ones(rows.size)
    usage_sums = np.ones(rows.size)
    for theta, beta in zip(thetas, betas, strict=True):
        mass = beta.sum(axis=1, dtype=np.float64)
        grown = theta[rows].astype(np.float64) * mass / before[:, None]
        usage = usage_sums @ grown
        gone = (mass <= 0) | (usage <= 0)
        grown[:, gone] = 0.0
        # Rows of the next Theta follow the order of this one's columns.
        rows = np.lexsort((-usage, gone))
        before = np.where(gone, np.inf, mass)[rows]
        usage_sums = np.where(gone, 0.0, usage)[rows]
        scaled_thetas.append(grown[:, rows].astype(theta.dtype))
        scaled_betas.append(np.where(gone, 0.0, beta.T / np.where(gone, 1.0, mass)).T[rows])
        dead.append(gone[rows])
    return Factors(scaled_thetas, scaled_betas, dead)
