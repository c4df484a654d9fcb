"""What is asked of some consecutive cells of X, wherever they lie and whoever walks them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from torch import Tensor


@dataclass
class Move:
    """What moves Theta_1: the quadratic model of the loss around where it stands.

    In a row theta of Theta_1 with its row x of X', the model is <x slope + theta bend, t> + 1/2 t'
    curvature t over t >= 0; it is lowered by ``sweeps`` of coordinate descent from theta. The trial
    lies beyond the result by ``momentum`` times its way from the last proposal.

    Parameters
    ----------
    slope : (M, k) float64 on the host
    bend, curvature : (k, k) float64 on the host
    momentum : float
    sweeps : int
    """

    slope: Tensor
    bend: Tensor
    curvature: Tensor
    momentum: float
    sweeps: int


@dataclass
class Sums:
    """All that the squared error sees of the cells, float64 on the host.

    Parameters
    ----------
    gram : (k, k)
        Theta_1^T Theta_1.
    cross : (M, k)
        X'^T Theta_1.
    """

    gram: Tensor
    cross: Tensor


@dataclass
class CountSums:
    """Sums over each cell's counts alone, (n,) float64 each: x, x log x, and log x!."""

    totals: np.ndarray
    entropies: np.ndarray
    log_factorials: np.ndarray


class Block(Protocol):
    """Some consecutive cells of X, n of N, with the factor of each.

    All kinds of blocks do the same arithmetic; their results differ by rounding only.

    Shapes: theta (n, k), in the precision of the fit and on its device; programs_t, direction
    (M, k) float64 on the host. What is summed over cells is added to its argument, float64 on the
    host; what is a row's own is overwritten. ``floor``: least rate, see `cells.counts`.
    """

    def times(self, right: Tensor, out: Tensor) -> None:
        """out (n, k) = diag(scale) X @ right (M, k)."""

    def add_transposed_times(self, left: Tensor, sums: Tensor) -> None:
        """sums (M, k) += X^T diag(scale) @ left (n, k)."""

    def move(self, move: Move, theta: Tensor, proposal: Tensor, trial: Tensor, sums: Sums) -> None:
        """Move these cells, and add the sums over their trial to ``sums`` (cross: without genes).

        proposal (n, k) and trial (n, k), which holds the last proposal, are overwritten.
        """

    def square_sums(self, genes: Tensor) -> np.ndarray:
        """Each cell's sum of squares of diag(scale) X diag(genes), (n,); genes (M,) float64."""

    def rates(
        self,
        theta: Tensor,
        programs_t: Tensor,
        floor: float,
        log_sum: np.ndarray,
        rows: Tensor | None,
        columns: Tensor | None,
    ) -> None:
        """Add the sum of x log lambda to ``log_sum`` (); its derivatives where asked for.

        Shape: by theta, rows (n, k); by programs_t, columns (M, k).
        """

    def curvature(
        self,
        theta: Tensor,
        programs_t: Tensor,
        direction: Tensor,
        floor: float,
        rows: Tensor | None,
        columns: Tensor,
    ) -> None:
        """Derivatives of sum x omega / lambda: by theta, and minus that by programs_t.

        Shape: rows (n, k), columns (M, k).
        """

    def hessian(self, theta: Tensor, programs_t: Tensor, floor: float, out: Tensor) -> None:
        """Add the packed lower triangles of H_j = sum_i x_ij / lambda_ij^2 u_i u_i^T to ``out``.

        Shape: out (M, k (k + 1) / 2).
        """

    def count_sums(self) -> CountSums:
        """Sums over the counts alone."""
