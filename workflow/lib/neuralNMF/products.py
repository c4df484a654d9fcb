"""The only two things ever done with the cells: X' @ S and X'^T @ Theta.

See `products` in architecture.md.

X' is the normalised matrix diag(cells) X diag(genes); it is never formed from a sparse X, the two
vectors are applied to the small factor instead. X is held as blocks of cells: one block when it is
in memory, many when it is streamed. Every kind of block does the same arithmetic, so that the
results differ by rounding only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from neuralNMF.kernels.sparse import (
    padded_width,
    rows_times,
    rows_transposed_times,
    split_rows,
)

# Cells summed in the precision of the data before the sum is carried on in double precision.
_FLUSH = 16384


class Block(Protocol):
    """Some consecutive cells of X; ``cells`` is their share of the cell scale."""

    def times(self, right: Tensor, out: Tensor) -> None:
        """out (n, k) = diag(cells) X @ right (M, k)."""

    def add_transposed_times(self, left: Tensor, sums: Tensor) -> None:
        """sums (M, k) float64 on the host += X^T diag(cells) @ left (n, k)."""

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
        rank = right.shape[1]
        padded = np.zeros((self.genes, padded_width(rank)), dtype=_numpy_dtype(out.dtype))
        padded[:, :rank] = right.numpy()
        scale = self.cells.astype(padded.dtype, copy=False)
        rows_times(
            self._borders, self.indptr, self._unsigned, self.data, scale, padded, out.numpy()
        )

    def add_transposed_times(self, left: Tensor, sums: Tensor) -> None:
        """See `Block.add_transposed_times`."""
        rank, threads = left.shape[1], self._borders.size - 1
        shape = (threads, self.genes, padded_width(rank))
        array = left.numpy()
        partial = np.empty(shape, dtype=array.dtype)
        parts = np.zeros(shape)
        scale = self.cells.astype(array.dtype, copy=False)
        rows_transposed_times(
            self._borders,
            self.indptr,
            self._unsigned,
            self.data,
            scale,
            array,
            partial,
            parts,
            _FLUSH,
        )
        # In the order of the threads, so that the same number of threads gives the same bytes.
        for part in parts:
            sums += torch.from_numpy(part[:, :rank])

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
            values = self.matrix[part].cpu().double() * cells[part, None] * genes
            total += float(values.square().sum())
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
        self._genes = torch.ones(shape[1], dtype=torch.float64)
        if genes is not None:
            self._genes = torch.as_tensor(genes, dtype=torch.float64)
        self.square_sum = sum(block.square_sum(self._genes) for _, _, block in self.blocks())

    def blocks(self) -> Iterator[tuple[int, int, Block]]:
        """The blocks of cells, in order."""
        yield from self._blocks()

    def times(self, right: Tensor) -> Tensor:
        """X' @ right.

        Shape: right (M, k) float64 on the host; returns (N, k) on the device, in the precision of
        the fit.
        """
        scaled = right * self._genes[:, None]
        out = torch.empty((self.shape[0], right.shape[1]), device=self.device, dtype=self.dtype)
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
        return sums * self._genes[:, None]


def gram(theta: Tensor) -> Tensor:
    """Theta^T Theta in double precision on the host.

    Shape: theta (N, k) on any device; returns (k, k) float64.
    """
    total = torch.zeros((theta.shape[1], theta.shape[1]), dtype=torch.float64)
    # Apple's devices have no double precision.
    wide = theta.dtype if theta.device.type == "mps" else torch.float64
    # Parts that stay in the cache once widened; fewer would make the threads wait more often.
    for part in theta.split(_FLUSH):
        part = part.to(wide)
        total += (part.T @ part).cpu().double()
    return total


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


def _numpy_dtype(dtype: torch.dtype) -> type:
    return np.float64 if dtype == torch.float64 else np.float32


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
) -> Products:
    """Products of a dense or sparse CSR tensor, where it is and in its precision."""
    scale = np.ones(matrix.shape[0]) if cells is None else cells
    scale = torch.as_tensor(scale, device=matrix.device, dtype=matrix.dtype)
    transposed = matrix
    if matrix.layout == torch.sparse_csr:
        transposed = matrix.transpose(0, 1).to_sparse_csr()
    block = TensorBlock(matrix, transposed, scale)
    return Products(
        lambda: [(0, matrix.shape[0], block)],
        tuple(matrix.shape),
        genes,
        device=matrix.device,
        dtype=matrix.dtype,
    )
