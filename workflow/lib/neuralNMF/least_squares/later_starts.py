"""The start of a later layer of a least-squares fit, before all layers are trained together.

Its programs are sought in two ways, since the loss has many minima: by NMFs of the programs of the
layer before, and by an NMF of the data that knows nothing of the layers. With the nested loss each
is fitted to the data by the usage of the layer before, which needs no pass over the cells, and the
best goes on.
"""

from __future__ import annotations

import torch
from torch import Tensor

from neuralNMF.cells.block import Sums
from neuralNMF.cells.products import Products
from neuralNMF.kernels.descent import descend_matrix
from neuralNMF.least_squares.network import NeuralNMF
from neuralNMF.least_squares.optimize import Auto
from neuralNMF.least_squares.starts import best_of, random_theta
from neuralNMF.solvers.gram import gram
from neuralNMF.solvers.hals import LowRank
from neuralNMF.threads import SERIAL

# How many NMFs of the programs before are tried, and how many of them go on.
_STARTS = 6, 2
_SOLVE_SWEEPS = 50
_EPOCHS = 40


def merged(programs: Tensor, rank: int, generator: torch.Generator) -> list[Tensor]:
    """Theta_l of the best NMFs of the programs of the layer before, the best first.

    Parameters
    ----------
    programs : Tensor, shape (k_{l-1}, M)
        beta_{l-1}, float64, scaled as `starts.unit_usages` says.
    rank : int
        k_l.
    generator : torch.Generator

    Returns
    -------
    list of Tensor, (k_{l-1}, k_l) each
        float64 on the host.
    """
    matrix = LowRank(torch.eye(programs.shape[0], dtype=programs.dtype), programs.T)

    def start() -> Tensor:
        return random_theta(programs.shape[0], rank, generator, dtype=torch.float64)

    return [factors.theta for factors in best_of(matrix, start, *_STARTS, SERIAL)]


def of_programs(programs_t: Tensor, sums: Sums) -> Tensor:
    """Theta_l by which the usage of the layer before makes up given programs.

    Parameters
    ----------
    programs_t : Tensor, shape (M, k_l)
        float64 on the host.
    sums : Sums
        Of the usage U of the layer before.

    Returns
    -------
    Tensor, shape (k_{l-1}, k_l)
        Nearly argmin_{Theta >= 0} ||X' - U Theta beta||^2, float64 on the host.
    """
    slope = -(sums.cross.T @ programs_t)
    theta = torch.zeros_like(slope)
    left, right = sums.gram.numpy(), gram(programs_t).numpy()
    descend_matrix(theta.numpy(), slope.numpy(), left, right, _SOLVE_SWEEPS)
    return theta


def best_nested(candidates: list[Tensor], usage: Tensor, sums: Sums, products: Products) -> Tensor:
    """The Theta_l that fits the data best by the usage of the layer before, which is held.

    Parameters
    ----------
    candidates : list of Tensor, (k_{l-1}, k_l) each
        Float64 on the host; overwritten.
    usage : Tensor, shape (N, k_{l-1})
        U of the layer before.
    sums : Sums
        Of ``usage``.
    products : Products

    Returns
    -------
    Tensor, shape (k_{l-1}, k_l)
        The best, after some epochs.
    """
    ends = []
    for theta in candidates:
        network = NeuralNMF([usage, theta], threads=products.threads, team=products.team)
        network.thetas[0].requires_grad_(False)
        optimizer = Auto(network, products, sums=sums)
        for _ in range(_EPOCHS):
            if not optimizer.epoch():
                break
        ends.append((optimizer.found.error.item(), network.thetas[1].detach()))
    return min(ends, key=lambda end: end[0])[1]
