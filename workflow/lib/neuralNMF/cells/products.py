"""The only things ever done with the cells: X' @ S, X'^T @ Theta, and both around a step of Theta.

See `products` in architecture.md.

X' is the normalised matrix diag(cells) X diag(genes); it is never formed from a sparse X, the two
vectors are applied to the small factor instead. X is held as blocks of cells: one block when it is
in memory, many when it is streamed. Every kind of block does the same arithmetic, so that the
results differ by rounding only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from neuralNMF.device import empty_rows
from neuralNMF.kernels.cells import move_rows
from neuralNMF.kernels.sparse import rows_times, rows_transposed_times, split_rows
from neuralNMF.kernels.vectors import LANES, aligned_zeros, blocks_of
from neuralNMF.solvers.descent import beyond, descend
from neuralNMF.solvers.gram import gram

# Cells summed in the precision of the data before the sum is carried on in double precision.
_FLUSH = 16384


@dataclass
class Move:
    """What moves Theta_1: the quadratic model of the loss around where it stands.

    In a row theta of Theta_1 with its row x of X', the model is <x slope + theta bend, t> + 1/2 t'
    curvature t over t >= 0; it is lowered by ``sweeps`` of coordinate descent from theta. The trial
    lies beyond the result by ``momentum`` times its way from the last proposal.

    Shape: slope (M, k), bend and curvature (k, k), float64 on the host.
    """

    slope: Tensor
    bend: Tensor
    curvature: Tensor
    momentum: float
    sweeps: int


@dataclass
class Sums:
    """All that the loss sees of the cells, float64 on the host.

    gram: Theta_1^T Theta_1 (k, k); cross: X'^T Theta_1 (M, k).
    """

    gram: Tensor
    cross: Tensor


class Block(Protocol):
    """Some consecutive cells of X; ``cells`` is their share of the cell scale."""

    def times(self, right: Tensor, out: Tensor) -> None:
        """out (n, k) = diag(cells) X @ right (M, k)."""

    def add_transposed_times(self, left: Tensor, sums: Tensor) -> None:
        """sums (M, k) float64 on the host += X^T diag(cells) @ left (n, k)."""

    def move(self, move: Move, theta: Tensor, proposal: Tensor, trial: Tensor, sums: Sums) -> None:
        """Moves these cells, and adds the sums over their trial to ``sums`` (cross: without genes).

        Shape: theta (n, k); proposal (n, k) is overwritten; trial (n, k), the last proposal, too.
        """

    def square_sum(self, genes: Tensor) -> float:
        """Sum of squares of diag(cells) X diag(genes), genes (M,) float64 on the host."""


@dataclass
class RowsBlock:
    """CSR rows on the host, multiplied by the compiled row-by-row kernels.

    Shape: indptr (n + 1,) int64, may start above zero; indices, data: of these rows; cells (n,).
    """

    indptr: np.ndarray
    indices: np.ndarray
    data: np.ndarray
    cells: np.ndarray
    genes: int
    threads: int

    def __post_init__(self) -> None:
        self._unsigned = np.asarray(self.indices).view(np.uint32)
        self._borders = split_rows(self.indptr, self.threads)

    def times(self, right: Tensor, out: Tensor) -> None:
        """See `Block.times`."""
        array, blocks = out.numpy(), blocks_of(right.shape[1])
        rows_times(*self._rows(array.dtype), self._padded(right, array.dtype), array, blocks)

    def add_transposed_times(self, left: Tensor, sums: Tensor) -> None:
        """See `Block.add_transposed_times`."""
        array, blocks = left.numpy(), blocks_of(left.shape[1])
        partial, (parts,) = self._partial(blocks, array.dtype), self._slices(sums)
        rows_transposed_times(*self._rows(array.dtype), array, partial, parts, _FLUSH, blocks)
        _add_in_order(sums, parts)

    def move(self, move: Move, theta: Tensor, proposal: Tensor, trial: Tensor, sums: Sums) -> None:
        """See `Block.move`."""
        array, blocks = theta.numpy(), blocks_of(theta.shape[1])
        partial, (parts, grams) = (
            self._partial(blocks, array.dtype),
            self._slices(sums.cross, sums.gram),
        )
        move_rows(
            *self._rows(array.dtype),
            array,
            self._padded(move.slope, array.dtype),
            move.bend.numpy(),
            move.curvature.numpy(),
            move.sweeps,
            array.dtype.type(move.momentum),
            proposal.numpy(),
            trial.numpy(),
            partial,
            parts,
            grams,
            _FLUSH,
            blocks,
        )
        _add_in_order(sums.cross, parts)
        _add_in_order(sums.gram, grams)

    def _rows(self, dtype: np.dtype) -> tuple:
        scale = self.cells.astype(dtype, copy=False)
        return self._borders, self.indptr, self._unsigned, self.data, scale

    def _padded(self, right: Tensor, dtype: np.dtype) -> np.ndarray:
        width = len(blocks_of(right.shape[1])) * LANES
        padded = aligned_zeros((self.genes, width), dtype)
        padded[:, : right.shape[1]] = right.numpy()
        return padded

    def _partial(self, blocks: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        return aligned_zeros((self._borders.size - 1, self.genes, len(blocks) * LANES), dtype)

    def _slices(self, *totals: Tensor) -> list[np.ndarray]:
        """Of each total, what every thread adds to: itself if there is one thread."""
        threads = self._borders.size - 1
        if threads == 1:
            return [total.numpy()[None] for total in totals]
        return [np.zeros((threads, *total.shape)) for total in totals]

    def square_sum(self, genes: Tensor) -> float:
        """See `Block.square_sum`."""
        weights = genes.numpy() ** 2
        origin, total = self.indptr[0], 0.0
        # In parts: the squares of all values at once would take as much memory as X itself.
        for start in range(0, self.indptr.size - 1, _FLUSH):
            ends = self.indptr[start : start + _FLUSH + 1] - origin
            part = slice(ends[0], ends[-1])
            squares = np.square(self.data[part], dtype=np.float64) * weights[self.indices[part]]
            squares *= np.repeat(self.cells[start : start + _FLUSH] ** 2, np.diff(ends))
            total += float(squares.sum())
        return total


@dataclass
class TensorBlock:
    """A dense tensor, or a pair of sparse CSR tensors (X and its transpose), on any device.

    torch multiplies by the transpose of a CSR matrix far more slowly than by a CSR matrix, so both
    are kept.
    """

    matrix: Tensor
    transposed: Tensor
    cells: Tensor
    threads: int

    def times(self, right: Tensor, out: Tensor) -> None:
        """See `Block.times`."""
        right = right.to(device=out.device, dtype=out.dtype)
        torch.mm(self.matrix, right, out=out)
        out.mul_(self.cells[:, None])

    def add_transposed_times(self, left: Tensor, sums: Tensor) -> None:
        """See `Block.add_transposed_times`."""
        if self.matrix.layout == torch.sparse_csr:
            sums += (self.transposed @ (left * self.cells[:, None])).cpu().double()
            return
        for start in range(0, left.shape[0], _FLUSH):
            part = slice(start, start + _FLUSH)
            scaled = left[part] * self.cells[part, None]
            sums += (self.matrix[part].T @ scaled).cpu().double()

    def move(self, move: Move, theta: Tensor, proposal: Tensor, trial: Tensor, sums: Sums) -> None:
        """See `Block.move`."""
        linear = torch.empty_like(theta)
        self.times(move.slope, linear)
        linear.addmm_(theta, move.bend.to(linear))
        proposal.copy_(theta)
        descend(proposal, linear, move.curvature, move.sweeps, self.threads)
        beyond(trial, proposal, move.momentum)
        sums.gram += gram(trial)
        self.add_transposed_times(trial, sums.cross)

    def square_sum(self, genes: Tensor) -> float:
        """See `Block.square_sum`."""
        cells = self.cells.cpu().double()
        if self.matrix.layout == torch.sparse_csr:
            pattern = self.matrix.cpu()
            rows = torch.repeat_interleave(cells, pattern.crow_indices().diff())
            values = pattern.values().double() * rows * genes[pattern.col_indices()]
            return float(values.square().sum())
        total = 0.0
        for start in range(0, cells.numel(), _FLUSH):
            part = slice(start, start + _FLUSH)
            squares = self.matrix[part].cpu().double().square()
            total += float(cells[part].square() @ (squares @ genes.square()))
        return total


class Products:
    """The two products with X' = diag(cells) X diag(genes), over blocks of cells.

    Shape: X' (N, M). ``blocks()`` yields ``(first cell, past the last cell, block)`` in order, anew
    at each call.
    """

    def __init__(
        self,
        blocks: Callable[[], Iterable[tuple[int, int, Block]]],
        shape: tuple[int, int],
        genes: np.ndarray | None = None,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self._blocks = blocks
        self.shape = shape
        self.device = torch.device(device)
        self.dtype = dtype
        self._genes: Tensor | None = None  # where they have no scale
        scale = torch.ones(shape[1], dtype=torch.float64)
        if genes is not None and np.any(np.asarray(genes) != 1):
            self._genes = scale = torch.as_tensor(genes, dtype=torch.float64)
        self.square_sum = sum(block.square_sum(scale) for _, _, block in self.blocks())

    def blocks(self) -> Iterator[tuple[int, int, Block]]:
        """The blocks of cells, in order."""
        yield from self._blocks()

    def times(self, right: Tensor) -> Tensor:
        """X' @ right.

        Shape: right (M, k) float64 on the host; returns (N, k) on the device, in the precision of
        the fit.
        """
        scaled = self._scaled(right)
        out = empty_rows(self.shape[0], right.shape[1], device=self.device, dtype=self.dtype)
        for start, stop, block in self.blocks():
            block.times(scaled, out[start:stop])
        return out

    def transposed_times(self, left: Tensor) -> Tensor:
        """X'^T @ left.

        Shape: left (N, k) on the device; returns (M, k) float64 on the host.
        """
        sums = torch.zeros((self.shape[1], left.shape[1]), dtype=torch.float64)
        for start, stop, block in self.blocks():
            block.add_transposed_times(left[start:stop], sums)
        return self._scaled(sums)

    def sums(self, theta: Tensor) -> Sums:
        """Of theta (N, k). One pass over X'."""
        return Sums(gram(theta), self.transposed_times(theta))

    def move(self, move: Move, theta: Tensor, last: Tensor | None) -> tuple[Tensor, Tensor, Sums]:
        """(proposal, trial, sums of the trial), in one pass over X'.

        Shape: theta, the last proposal (N, k) on the device; the trial lies in its place. Without
        one the trial is the proposal.
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
        sums.cross = self._scaled(sums.cross)
        return proposal, trial, sums

    def _scaled(self, small: Tensor) -> Tensor:
        """diag(genes) @ small (M, k)."""
        return small if self._genes is None else small * self._genes[:, None]


class CellSums(torch.autograd.Function):
    """(Theta_1, X') -> (G, B^T): all that the loss sees of the cells.

    G = Theta_1^T Theta_1 and B^T = X'^T Theta_1.

    Shape: theta (N, k_1); returns G (k_1, k_1) and B^T (M, k_1), float64 on the host.
    One pass over X forward, one backward: dTheta_1 = X' dB^T + Theta_1 (dG + dG^T).
    """

    @staticmethod
    def forward(ctx, theta, products):
        """G and B^T."""
        ctx.save_for_backward(theta)
        ctx.products = products
        return gram(theta), products.transposed_times(theta)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad_gram, grad_cross):
        """The gradient in Theta_1; none in X'."""
        (theta,) = ctx.saved_tensors
        grad = ctx.products.times(grad_cross)
        symmetric = (grad_gram + grad_gram.T).to(device=theta.device, dtype=theta.dtype)
        return grad.addmm_(theta, symmetric), None


def _add_in_order(total: Tensor, slices: np.ndarray) -> None:
    """See `RowsBlock._slices`."""
    if len(slices) == 1:
        return
    # In the order of the threads, so that the same number of threads gives the same bytes.
    for part in slices:
        total += torch.from_numpy(part)


def rows_products(
    matrix,  # scipy.sparse.csr_matrix
    cells: np.ndarray | None = None,
    genes: np.ndarray | None = None,
    *,
    dtype: torch.dtype = torch.float32,
    threads: int | None = None,
) -> Products:
    """Products of a scipy CSR matrix in memory, on the CPU, without a copy of it."""
    count = matrix.shape[0]
    block = RowsBlock(
        np.asarray(matrix.indptr, dtype=np.int64),
        np.asarray(matrix.indices, dtype=np.int32),
        matrix.data,
        np.ones(count) if cells is None else cells,
        matrix.shape[1],
        threads or torch.get_num_threads(),
    )
    return Products(lambda: [(0, count, block)], matrix.shape, genes, dtype=dtype)


def tensor_products(
    matrix: Tensor,
    cells: np.ndarray | None = None,
    genes: np.ndarray | None = None,
    *,
    threads: int | None = None,
) -> Products:
    """Products of a dense or sparse CSR tensor, where it is and in its precision."""
    scale = np.ones(matrix.shape[0]) if cells is None else cells
    scale = torch.as_tensor(scale, device=matrix.device, dtype=matrix.dtype)
    transposed = matrix
    if matrix.layout == torch.sparse_csr:
        transposed = matrix.transpose(0, 1).to_sparse_csr()
    block = TensorBlock(matrix, transposed, scale, threads or torch.get_num_threads())
    return Products(
        lambda: [(0, matrix.shape[0], block)],
        tuple(matrix.shape),
        genes,
        device=matrix.device,
        dtype=matrix.dtype,
    )
