"""One form for each factorisation: programs that sum to 1, ordered by usage, dead ones last (architecture.md, `canonical`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Factors:
    """thetas[0] (N, k_1), thetas[l] (k_l, k_{l+1}); betas[l] (k_{l+1}, M); dead[l] (k_{l+1},) bool."""

    thetas: list[np.ndarray]
    betas: list[np.ndarray]
    dead: list[np.ndarray]


def canonical(thetas: Sequence[np.ndarray], betas: Sequence[np.ndarray]) -> Factors:
    """beta_l -> D_l beta_l, Theta_l -> D_{l-1} Theta_l D_l^-1 with D_l = 1 / row sums of beta_l, and a fixed order.

    The product Theta_1 ... Theta_L beta_L stays what it was. Theta_1 then holds each cell's expression per program and row i of
    Theta_l (l >= 2) what share of fine program i each coarse program makes up. A program that no cell uses or whose beta is zero
    is dead: its row, and everything that leads to it, becomes zero.
    """
    scaled_thetas, scaled_betas, dead = [], [], []
    before = np.ones(thetas[0].shape[0])
    usage_sum = np.ones((1, thetas[0].shape[0]))
    for layer, (theta, beta) in enumerate(zip(thetas, betas, strict=True)):
        mass = beta.sum(axis=1, dtype=np.float64)
        grown = np.asarray(theta, dtype=np.float64) * mass
        if layer > 0:
            grown = grown / before[:, None]
            grown[dead[-1]] = 0.0
        usage = (usage_sum @ grown).ravel()
        gone = (mass <= 0) | (usage <= 0)
        order = np.lexsort((np.arange(mass.size), -usage, gone))
        grown[:, gone] = 0.0
        mass = np.where(gone, 1.0, mass)
        shares = np.where(gone[:, None], 0.0, beta / mass[:, None])
        scaled_thetas.append(grown[:, order].astype(theta.dtype))
        scaled_betas.append(np.ascontiguousarray(shares[order]))
        dead.append(gone[order])
        usage_sum = np.where(gone, 0.0, usage)[order][None, :]
        before = mass[order]
        if layer + 1 < len(thetas):
            thetas = [*thetas[: layer + 1], thetas[layer + 1][order], *thetas[layer + 2 :]]
    return Factors(scaled_thetas, scaled_betas, dead)
