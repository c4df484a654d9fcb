"""Products with the normalised matrix X': all that a fit by squared error asks of the cells.

They are X' @ S, X'^T @ Theta, and both around a step of Theta in one pass.
X' = diag(cells) X diag(genes) is never formed from a sparse X: the two vectors are applied to the
small factor instead. X is held as blocks of cells: one when it is in memory, many when it is
streamed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from neuralNMF.cells.block import Block, Move, Sums
from neuralNMF.cells.place import Place
from neuralNMF.cells.sums import block_borders
from neuralNMF.cells.tensors import DenseBlock, SparseBlock
from neuralNMF.device import empty_rows
from neuralNMF.solvers.gram import gram
from neuralNMF.team import ALONE, Team
from neuralNMF.threads import SERIAL, Threads


class Products:
    """The products with X' = diag(cells) X diag(genes), over blocks of cells.

    Parameters
    ----------
    blocks : callable
        Yields ``(first cell, past the last cell, block)`` in order, anew at each call.
    shape : (int, int)
        N cells, M genes.
    genes : ndarray of float64, shape (M,), or None
        Factor of each gene; None for ones.
    place : Place
    team : Team
        The processes whose blocks make up X', each with some of the cells.

    Attributes
    ----------
    square_sum : float
        Sum of all squares of X', of the cells of all processes.
    entries : float
        Cells of all processes times genes.
    """

    def __init__(
        self,
        blocks: Callable[[], Iterable[tuple[int, int, Block]]],
        shape: tuple[int, int],
        genes: np.ndarray | None,
        place: Place,
        team: Team = ALONE,
    ) -> None:
        self._blocks = blocks
        self.shape, self.team = shape, team
        self.entries = team.total(shape[0]) * shape[1]
        self.device, self.dtype, self.threads = place.device, place.dtype, place.threads
        self._genes: Tensor | None = None  # where they have no scale
        scale = torch.ones(shape[1], dtype=torch.float64)
        if genes is not None and np.any(np.asarray(genes) != 1):
            self._genes = scale = torch.as_tensor(genes, dtype=torch.float64)
        squares = [block.square_sums(scale) for _, _, block in self.blocks()]
        self.square_sum = team.total(float(np.concatenate(squares).sum()))

    def blocks(self) -> Iterator[tuple[int, int, Block]]:
        """The blocks of cells, in order."""
        yield from self._blocks()

    def times(self, right: Tensor) -> Tensor:
        """X' @ right.

        Parameters
        ----------
        right : Tensor, shape (M, k)
            float64 on the host.

        Returns
        -------
        Tensor, shape (N, k)
            On the device, in the precision of the fit.
        """
        scaled = self._scaled(right)
        out = empty_rows(self.shape[0], right.shape[1], device=self.device, dtype=self.dtype)
        for start, stop, block in self.blocks():
            block.times(scaled, out[start:stop])
        return out

    def transposed_times(self, left: Tensor) -> Tensor:
        """X'^T @ left, over the cells of all processes.

        Parameters
        ----------
        left : Tensor, shape (N, k)
            On the device.

        Returns
        -------
        Tensor, shape (M, k)
            float64 on the host.
        """
        sums = self._own_transposed_times(left)
        self.team.add(sums.numpy())
        return self._scaled(sums)

    def sums(self, theta: Tensor) -> Sums:
        """Theta^T Theta and X'^T Theta of theta (N, k), in one pass over X', of all processes."""
        own = Sums(gram(theta, self.threads), self._own_transposed_times(theta))
        return self._of_all(own)

    def _own_transposed_times(self, left: Tensor) -> Tensor:
        """The sums of `transposed_times` over the own cells, without the factors of the genes."""
        sums = torch.zeros((self.shape[1], left.shape[1]), dtype=torch.float64)
        for start, stop, block in self.blocks():
            block.add_transposed_times(left[start:stop], sums)
        return sums

    def _of_all(self, own: Sums) -> Sums:
        """The sums over all processes' cells, with the factors of the genes, from the own ones."""
        self.team.add(own.gram.numpy(), own.cross.numpy())
        return Sums(own.gram, self._scaled(own.cross))

    def move(self, move: Move, theta: Tensor, last: Tensor | None) -> tuple[Tensor, Tensor, Sums]:
        """Move all cells, and sum over where the step leads, in one pass over X'.

        Parameters
        ----------
        move : Move
        theta : Tensor, shape (N, k)
            On the device; left as it is.
        last : Tensor or None, shape (N, k)
            The last proposal; overwritten by the trial.

        Returns
        -------
        proposal, trial : Tensor, shape (N, k)
            Without a last proposal, they are equal.
        sums : Sums
            Of the trial, over the cells of all processes.
        """
        rank = theta.shape[1]
        proposal = empty_rows(*theta.shape, device=theta.device, dtype=theta.dtype)
        momentum = 0.0 if last is None else move.momentum
        trial = torch.zeros_like(theta) if last is None else last
        scaled = replace(move, slope=self._scaled(move.slope), momentum=momentum)
        sums = Sums(
            torch.zeros((rank, rank), dtype=torch.float64),
            torch.zeros((self.shape[1], rank), dtype=torch.float64),
        )
        for start, stop, block in self.blocks():
            part = slice(start, stop)
            block.move(scaled, theta[part], proposal[part], trial[part], sums)
        return proposal, trial, self._of_all(sums)

    def _scaled(self, small: Tensor) -> Tensor:
        """diag(genes) @ small (M, k)."""
        return small if self._genes is None else small * self._genes[:, None]


class CellSums(torch.autograd.Function):
    """(Theta_1, X') -> (G, B^T): all that the loss sees of the cells, differentiable by Theta_1.

    Notes
    -----
    Of Theta_1 (N, k_1) it gives G = Theta_1^T Theta_1 (k_1, k_1) and B^T = X'^T Theta_1 (M, k_1),
    float64 on the host. One pass over X forward, one backward:

        dTheta_1 = X' dB^T + Theta_1 (dG + dG^T)
    """

    @staticmethod
    def forward(ctx: Any, theta: Tensor, products: Products) -> tuple[Tensor, Tensor]:
        """G and B^T."""
        ctx.save_for_backward(theta)
        ctx.products = products
        sums = products.sums(theta)
        return sums.gram, sums.cross

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_gram: Tensor, grad_cross: Tensor) -> tuple[Tensor, None]:
        """The gradient in Theta_1; none in X'."""
        (theta,) = ctx.saved_tensors
        grad = ctx.products.times(grad_cross)
        symmetric = (grad_gram + grad_gram.T).to(device=theta.device, dtype=theta.dtype)
        return grad.addmm_(theta, symmetric), None


def rows_products(
    matrix: sp.csr_matrix,
    cells: np.ndarray | None = None,
    genes: np.ndarray | None = None,
    *,
    dtype: torch.dtype = torch.float32,
    threads: Threads = SERIAL,
) -> Products:
    """Products of a CSR matrix in memory, on the CPU, without a copy of it.

    Parameters
    ----------
    matrix : scipy.sparse.csr_matrix, shape (N, M)
    cells, genes : ndarray, shapes (N,) and (M,), optional
        The factors of X' = diag(cells) X diag(genes); ones by default.
    dtype, threads
        See `Place`.
    """
    number, columns = matrix.shape
    place = Place(dtype=dtype, threads=threads)
    indptr = np.asarray(matrix.indptr, dtype=np.int64)
    block = place.rows(
        indptr,
        np.asarray(matrix.indices, dtype=np.int32),
        matrix.data,
        np.ones(number) if cells is None else cells,
        columns,
        block_borders(indptr, columns),
    )
    return Products(lambda: [(0, number, block)], matrix.shape, genes, place)


def tensor_products(
    matrix: Tensor,
    cells: np.ndarray | None = None,
    genes: np.ndarray | None = None,
    *,
    threads: Threads = SERIAL,
) -> Products:
    """Products of a dense or sparse CSR tensor (N, M), where it is and in its precision.

    The other parameters are those of `rows_products`.
    """
    number, columns = matrix.shape
    place = Place(matrix.device, matrix.dtype, threads)
    factors = np.ones(number) if cells is None else cells
    scale = torch.as_tensor(factors, device=matrix.device, dtype=matrix.dtype)
    block: Block
    if matrix.layout == torch.sparse_csr:
        block = SparseBlock(
            matrix.crow_indices(), matrix.col_indices(), matrix.values(), scale, columns
        )
    else:
        borders = block_borders(np.zeros(number + 1, np.int64), columns, dense=True)
        block = DenseBlock(matrix, scale, borders, threads, place.sums)
    return Products(lambda: [(0, number, block)], (number, columns), genes, place)
