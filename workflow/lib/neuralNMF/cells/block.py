"""The interface of a block: some consecutive cells of X, and all sums over them that fits need.

A block may hold its cells as CSR rows on the host (`cells.rows`) or as tensors on any device
(`cells.tensors`); fits call these methods and need not know which.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from torch import Tensor


@dataclass
class Move:
    """One step of Theta_1: the quadratic models to lower, and how far beyond their minima to try.

    Parameters
    ----------
    slope : Tensor, shape (M, k)
        float64 on the host, as are the next two.
    bend, curvature : Tensor, shape (k, k)
    momentum : float
        How far the trial lies beyond the proposal, as a share of the way from the last proposal.
    sweeps : int
        Passes of coordinate descent over the programs of a cell.

    Notes
    -----
    For a row theta of Theta_1 and its row x of X' the model is, over t >= 0,

        <x slope + theta bend, t> + 1/2 t curvature t^T

    The proposal is where coordinate descent from theta ends; the trial is
    max(0, proposal + momentum (proposal - last proposal)).
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
    gram : Tensor, shape (k, k)
        Theta_1^T Theta_1.
    cross : Tensor, shape (M, k)
        X'^T Theta_1.
    """

    gram: Tensor
    cross: Tensor


@dataclass
class CountSums:
    """Sums over the counts x of each cell that depend on no model.

    Parameters
    ----------
    totals, entropies, log_factorials : ndarray, shape (n,)
        Sums of x, of x log x and of log x!; float64.
    """

    totals: np.ndarray
    entropies: np.ndarray
    log_factorials: np.ndarray


class Block(Protocol):
    """Some consecutive cells of X, n of N, with the factor of each.

    All kinds of blocks do the same arithmetic; their results differ by rounding only.

    Notes
    -----
    The methods share the meaning of their arguments. ``theta`` (n, k) is in the precision of the
    fit and on its device; ``programs_t`` and ``direction`` (M, k) are float64 on the host;
    ``floor`` is the background rate of `cells.counts`. Sums over cells are added to their argument,
    float64 on the host; arguments with one row for each cell are overwritten.
    """

    def times(self, right: Tensor, out: Tensor) -> None:
        """Write diag(scale) X @ right to ``out``.

        Parameters
        ----------
        right : Tensor, shape (M, k)
        out : Tensor, shape (n, k)
        """

    def add_transposed_times(self, left: Tensor, sums: Tensor) -> None:
        """Add X^T diag(scale) @ left to ``sums``.

        Parameters
        ----------
        left : Tensor, shape (n, k)
        sums : Tensor, shape (M, k)
        """

    def move(self, move: Move, theta: Tensor, proposal: Tensor, trial: Tensor, sums: Sums) -> None:
        """Move these cells, and add the sums over their trial to ``sums``.

        Parameters
        ----------
        move : Move
        theta : Tensor, shape (n, k)
            Where the cells stand; left as it is.
        proposal : Tensor, shape (n, k)
            Overwritten.
        trial : Tensor, shape (n, k)
            Holds the last proposal; overwritten.
        sums : Sums
            Added to; ``cross`` without the factors of the genes.
        """

    def square_sums(self, genes: Tensor) -> np.ndarray:
        """Each cell's sum of squares of diag(scale) X diag(genes).

        Parameters
        ----------
        genes : Tensor, shape (M,)
            Factor of each gene, float64 on the host.

        Returns
        -------
        ndarray, shape (n,)
            float64.
        """

    def rates(
        self,
        theta: Tensor,
        programs_t: Tensor,
        floor: float,
        log_sum: np.ndarray,
        rows: Tensor | None,
        columns: Tensor | None,
    ) -> None:
        """Add the sum of x log lambda to ``log_sum``, and find its derivatives where asked for.

        Parameters
        ----------
        theta, programs_t, floor
            Of the rates lambda.
        log_sum : ndarray, shape ()
            Added to.
        rows : Tensor or None, shape (n, k)
            Overwritten by the derivative by theta; None: not asked for.
        columns : Tensor or None, shape (M, k)
            The derivative by programs_t is added; None: not asked for.
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
        """Derivatives of F = sum of x omega / lambda, omega = diag(scale) theta direction^T.

        Parameters
        ----------
        theta, programs_t, direction, floor
            Of the rates lambda and of omega.
        rows : Tensor or None, shape (n, k)
            Overwritten by dF/dtheta; None: not asked for.
        columns : Tensor, shape (M, k)
            -dF/dprograms_t is added.
        """

    def hessian(self, theta: Tensor, programs_t: Tensor, floor: float, out: Tensor) -> None:
        """Add the lower triangles of H_j = sum_i x_ij / lambda_ij^2 u_i u_i^T to ``out``.

        Parameters
        ----------
        theta, programs_t, floor
            Of the rates lambda; u_i = scale_i theta_i.
        out : Tensor, shape (M, k (k + 1) / 2)
            Added to; a triangle is packed row by row.
        """

    def count_sums(self) -> CountSums:
        """Sums over the counts alone."""
