"""One form for each factorisation: programs sum to 1, in the order of their usage, dead ones last.

Scale and order of programs are free in a product of non-negative matrices; a saved model has them
fixed, so that two models can be compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from neuralNMF.team import ALONE, Team

_CHUNK = 65_536  # cells at a time that are held twice


@dataclass(frozen=True)
class Factors:
    """A factorisation of L layers in canonical form, an entry of each list a layer.

    Attributes
    ----------
    thetas : list of ndarray
        Theta_1 (N, k_1), then Theta_l (k_{l-1}, k_l).
    betas : list of ndarray
        beta_l (k_l, M).
    dead : list of ndarray of bool, (k_l,) each
        Programs that no cell uses.
    orders : list of ndarray of int, (k_l,) each
        Which of the given programs each program is.
    masses : list of ndarray, (k_l,) each
        What the rows of the given beta, in the new order, were divided by; infinite where dead.
    """

    thetas: list[np.ndarray]
    betas: list[np.ndarray]
    dead: list[np.ndarray]
    orders: list[np.ndarray]
    masses: list[np.ndarray]


def canonical(
    thetas: Sequence[np.ndarray],
    betas: Sequence[np.ndarray],
    team: Team = ALONE,
    *,
    overwrite: bool = False,
) -> Factors:
    """Bring a factorisation into canonical form: the same product, with programs that sum to 1.

    beta_l -> D_l beta_l, Theta_l -> D_{l-1} Theta_l D_l^-1 with D_l = 1 / row sums of beta_l.

    The product Theta_1 ... Theta_L beta_L stays what it was. Theta_1 then holds each cell's usage
    in units of expression, and row i of Theta_l (l >= 2) what share of fine program i each coarse
    program makes up. A program that no cell uses or whose beta is zero is dead: its row, and
    everything that leads to it, becomes zero.

    Parameters
    ----------
    thetas : sequence of ndarray
        Theta_1 (N, k_1), then Theta_l (k_{l-1}, k_l); left as they are, but see ``overwrite``.
    betas : sequence of ndarray
        beta_l (k_l, M); left as they are.
    team : Team
        The processes that hold the cells, each the rows of Theta_1 of its own.
    overwrite : bool
        Whether Theta_1 in its new form takes the place of the given one, whose rows lie together:
        it may be most of what memory holds.

    Returns
    -------
    Factors
        New arrays, but for Theta_1 with ``overwrite``; the type of each Theta is kept.
    """
    scaled_thetas, scaled_betas, dead, orders, masses = [], [], [], [], []
    rows, before, usage_sums = np.empty(0, np.int64), np.empty(0), np.empty(0)
    for layer, (theta, beta) in enumerate(zip(thetas, betas, strict=True)):
        mass = beta.sum(axis=1, dtype=np.float64)
        if layer == 0:
            usage = np.zeros(theta.shape[1])
            for part in _parts(theta):
                usage += part.sum(axis=0, dtype=np.float64)
            team.add(usage)
        else:
            usage = np.asarray((usage_sums / before) @ theta[rows], dtype=np.float64)
        usage = usage * mass
        gone = (mass <= 0) | (usage <= 0)
        order = np.lexsort((-usage, gone))
        scale = np.where(gone, 0.0, mass)[order].astype(theta.dtype)
        # Rows of a cell lie together, as the compiled loops expect: indexing alone turns them.
        if layer == 0:
            scaled = theta if overwrite else np.empty(theta.shape, theta.dtype)
            for part, new in zip(_parts(theta), _parts(scaled), strict=True):
                np.multiply(part[:, order], scale, out=new)
        else:
            scaled = np.ascontiguousarray(theta[rows][:, order]) * scale
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


def _parts(theta: np.ndarray) -> list[np.ndarray]:
    """Views of some rows at a time."""
    return [theta[first : first + _CHUNK] for first in range(0, len(theta), _CHUNK)]
