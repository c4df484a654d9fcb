"""A start for layer 1 from the singular vectors of X' (NNDSVD).

Random starts leave programs merged that no later step separates; the singular vectors tell them
apart.
"""

from __future__ import annotations

import torch
from torch import Tensor

from neuralNMF.cells.products import Products
from neuralNMF.errors import FitError
from neuralNMF.solvers.gram import gram

_OVERSAMPLED = 8
_POWER_ITERATIONS = 3


def singular_vectors(
    products: Products, rank: int, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """The leading singular triplets of X', by subspace iteration from a random start.

    Parameters
    ----------
    products : Products
        With X' (N, M).
    rank : int
        How many.
    generator : torch.Generator

    Returns
    -------
    left : Tensor, shape (N, rank)
        On the device.
    values : Tensor, shape (rank,)
        float64 on the host, falling.
    right : Tensor, shape (M, rank)
        float64 on the host.

    Raises
    ------
    FitError
        The squares of the entries are beyond the precision's range.

    Notes
    -----
    Two passes over X' an iteration. All that is orthogonalised has the length of the genes, so that
    one array of N rows is held, not three.
    """
    cells, genes = products.shape
    width = min(rank + _OVERSAMPLED, cells, genes)
    right = torch.randn((genes, width), generator=generator, dtype=torch.float64)
    for _ in range(_POWER_ITERATIONS):
        right = torch.linalg.qr(right).Q
        right = products.transposed_times(products.times(right))
        if not torch.isfinite(right).all():
            raise FitError(
                "the products of these counts leave the range of the numbers that they are "
                "computed in: take 'precision: float64', and see whether these are counts."
            )
    right = torch.linalg.qr(right).Q
    left = products.times(right)
    squares, turn = torch.linalg.eigh(gram(left))
    squares, turn = squares.flip(0)[:rank], turn.flip(1)[:, :rank]
    values = squares.clamp_min(0).sqrt()
    inverse = torch.where(values > 0, 1.0 / torch.where(values > 0, values, 1.0), 0.0)
    to_left = (turn * inverse).to(device=left.device, dtype=left.dtype)
    return left @ to_left, values, right @ turn


def nndsvd_theta(left: Tensor, values: Tensor, right: Tensor) -> Tensor:
    """Theta_1 from the signed halves of singular vectors.

    Of each pair of vectors, the half (both positive or both negative) that carries more is taken.

    Parameters
    ----------
    left, values, right : Tensor, shapes (N, k), (k,) and (M, k)
        As `singular_vectors` returns them.

    Returns
    -------
    Tensor, shape (N, k)
        As ``left``.

    Notes
    -----
    Source: Boutsidis & Gallopoulos 2008, Pattern Recognition 41(4).
    """
    theta = left.clone()
    for j in range(left.shape[1]):
        column, genes = theta[:, j], right[:, j]
        up, down = column.clamp_min(0).norm().item(), column.clamp_max(0).norm().item()
        right_up, right_down = genes.clamp_min(0).norm().item(), genes.clamp_max(0).norm().item()
        positive = up * right_up >= down * right_down
        length, weight = (up, up * right_up) if positive else (down, down * right_down)
        if not positive:
            column.neg_()
        column.clamp_min_(0).mul_((values[j].item() * weight) ** 0.5 / max(length, 1e-30))
    return theta
