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
    orders, masses: betas[l] is row orders[l] of what was given over masses[l], (k_{l+1},) each.
    """

    thetas: list[np.ndarray]
    betas: list[np.ndarray]
    dead: list[np.ndarray]
    orders: list[np.ndarray]
    masses: list[np.ndarray]


def canonical(thetas: Sequence[np.ndarray], betas: Sequence[np.ndarray]) -> Factors:
    """The same product with programs that sum to 1, in a fixed order.

    beta_l -> D_l beta_l, Theta_l -> D_{l-1} Theta_l D_l^-1 with D_l = 1 / row sums of beta_l.

    The product Theta_1 ... Theta_L beta_L stays what it was. Theta_1 then holds each cell's
    expression per program and row i of Theta_l (l >= 2) what share of fine program i each coarse
    program makes up. A program that no cell uses or whose beta is zero is dead: its row, and
    everything that leads to it, becomes zero.
    """
    scaled_thetas, scaled_betas, dead, orders, masses = [], [], [], [], []
    rows = slice(None)
    before = np.ones(1)
    usage_sums = np.ones(thetas[0].shape[0])
    for theta, beta in zip(thetas, betas, strict=True):
        mass = beta.sum(axis=1, dtype=np.float64)
        # For Theta_1 all of these are views or rows: it may be most of what memory holds.
        usage = ((usage_sums / before) @ theta[rows]) * mass
        gone = (mass <= 0) | (usage <= 0)
        order = np.lexsort((-usage, gone))
        scaled = theta[rows][:, order]
        scaled *= np.where(gone, 0.0, mass)[order].astype(theta.dtype)
        if before.size > 1:
            scaled /= before[:, None].astype(theta.dtype)
        scaled_thetas.append(scaled)
        scaled_betas.append(np.where(gone, 0.0, beta.T / np.where(gone, 1.0, mass)).T[order])
        dead.append(gone[order])
        # Rows of the next Theta follow the order of this one's columns.
        rows = order
        before = np.where(gone, np.inf, mass)[order]
        usage_sums = np.where(gone, 0.0, usage)[order]
        orders.append(order)
        masses.append(before)
    return Factors(scaled_thetas, scaled_betas, dead, orders, masses)
