"""A block of cells as CSR rows on the host, for the compiled loops of `kernels`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.special import gammaln, xlogy
from torch import Tensor

from neuralNMF.cells.block import CountSums, Move, Sums
from neuralNMF.cells.sums import BlockSums, Totals
from neuralNMF.kernels.cells import move_rows
from neuralNMF.kernels.poisson import curvature_sums, hessian_sums, rate_sums
from neuralNMF.kernels.sparse import rows_times, rows_transposed_times
from neuralNMF.kernels.vectors import LANES, aligned_zeros, blocks_of, read_only
from neuralNMF.threads import Threads

# Cells whose non-zeros are widened to double precision at a time.
_WIDENED = 4096
# Functions of smaller counts are looked up.
_LOOKED_UP = 1024


@dataclass
class RowsBlock:
    """CSR rows of X, of which no copy is made.

    Parameters
    ----------
    indptr : ndarray of int64, shape (n + 1,)
        May start above zero.
    indices, data : ndarray of int32 and of float32 or float64, shape (nnz,)
        Of these rows alone.
    scale : ndarray of float64, shape (n,)
        Factor of each cell: its share of the normalisation, or its library size.
    genes : int
        M.
    borders : ndarray of int64, shape (B + 1,)
        Where the blocks of cells begin that sums are taken over, as rows of these: from 0 to n.
    threads : Threads
        Share the blocks.
    sums : BlockSums
        Adds up over the blocks.
    """

    indptr: np.ndarray
    indices: np.ndarray
    data: np.ndarray
    scale: np.ndarray
    genes: int
    borders: np.ndarray
    threads: Threads
    sums: BlockSums

    def __post_init__(self) -> None:
        # Loops are compiled anew for arrays that may be written. A mapped file may not be: so none.
        self._unsigned = read_only(np.asarray(self.indices).view(np.uint32))
        self._values = read_only(np.asarray(self.data))
        self._blocks = list(pairwise(self.borders.tolist()))

    def times(self, right: Tensor, out: Tensor) -> None:
        """See `Block.times`."""
        array, vectors = out.numpy(), blocks_of(right.shape[1])
        rows, padded = self._rows(array.dtype), self._padded(right, array.dtype)
        self.threads.run(
            lambda first, past: rows_times(first, past, *rows, padded, array, vectors), self._blocks
        )

    def add_transposed_times(self, left: Tensor, sums: Tensor) -> None:
        """See `Block.add_transposed_times`."""
        array, vectors = left.numpy(), blocks_of(left.shape[1])
        rows = self._rows(array.dtype)

        def work(first: int, past: int, genes: np.ndarray, _: np.ndarray) -> None:
            rows_transposed_times(first, past, *rows, array, genes, vectors)

        self.sums.add(self._blocks, work, Totals(genes=sums.numpy()), array.dtype)

    def move(self, move: Move, theta: Tensor, proposal: Tensor, trial: Tensor, sums: Sums) -> None:
        """See `Block.move`."""
        array, vectors = theta.numpy(), blocks_of(theta.shape[1])
        rows, slope = self._rows(array.dtype), self._padded(move.slope, array.dtype)
        bend, curvature = move.bend.numpy(), move.curvature.numpy()
        step = (move.sweeps, array.dtype.type(move.momentum), proposal.numpy(), trial.numpy())

        def work(first: int, past: int, genes: np.ndarray, gram: np.ndarray) -> None:
            move_rows(
                first, past, *rows, array, slope, bend, curvature, *step, genes, gram, vectors
            )

        totals = Totals(genes=sums.cross.numpy(), small=sums.gram.numpy())
        self.sums.add(self._blocks, work, totals, array.dtype)

    def square_sums(self, genes: Tensor) -> np.ndarray:
        """See `Block.square_sums`."""
        weights = genes.numpy() ** 2

        def squares(values: np.ndarray, columns: np.ndarray) -> np.ndarray:
            return np.square(values, dtype=np.float64) * weights[columns]

        return self._by_cell(squares) * self.scale**2

    def rates(
        self,
        theta: Tensor,
        programs_t: Tensor,
        floor: float,
        log_sum: np.ndarray,
        rows: Tensor | None,
        columns: Tensor | None,
    ) -> None:
        """See `Block.rates`."""
        array, (small,) = self._narrow(theta, programs_t)
        cells, vectors = self._rows(array.dtype), blocks_of(theta.shape[1])
        least, wanted = array.dtype.type(floor), (rows is not None, columns is not None)
        by_row = np.empty((0, 0), array.dtype) if rows is None else rows.numpy()

        def work(first: int, past: int, genes: np.ndarray, total: np.ndarray) -> None:
            total += rate_sums(
                first, past, *cells, array, small, least, by_row, genes, *wanted, vectors
            )

        totals = Totals(None if columns is None else columns.numpy(), log_sum)
        self.sums.add(self._blocks, work, totals, array.dtype)

    def curvature(
        self,
        theta: Tensor,
        programs_t: Tensor,
        direction: Tensor,
        floor: float,
        rows: Tensor | None,
        columns: Tensor,
    ) -> None:
        """See `Block.curvature`."""
        array, (small, along) = self._narrow(theta, programs_t, direction)
        cells, vectors = self._rows(array.dtype), blocks_of(theta.shape[1])
        least, wanted = array.dtype.type(floor), rows is not None
        by_row = np.empty((0, 0), array.dtype) if rows is None else rows.numpy()

        def work(first: int, past: int, genes: np.ndarray, _: np.ndarray) -> None:
            curvature_sums(
                first, past, *cells, array, small, along, least, by_row, genes, wanted, vectors
            )

        self.sums.add(self._blocks, work, Totals(genes=columns.numpy()), array.dtype)

    def hessian(self, theta: Tensor, programs_t: Tensor, floor: float, out: Tensor) -> None:
        """See `Block.hessian`."""
        array, (small,) = self._narrow(theta, programs_t)
        cells, vectors = self._rows(array.dtype), blocks_of(theta.shape[1])
        least = array.dtype.type(floor)

        def work(first: int, past: int, genes: np.ndarray, _: np.ndarray) -> None:
            hessian_sums(first, past, *cells, array, small, least, genes, vectors)

        self.sums.add(self._blocks, work, Totals(genes=out.numpy()), array.dtype)

    def count_sums(self) -> CountSums:
        """See `Block.count_sums`."""
        return CountSums(
            self._by_cell(lambda counts, _: counts),
            self._by_cell(lambda counts, _: _of_counts(lambda x: xlogy(x, x), counts)),
            self._by_cell(lambda counts, _: _of_counts(lambda x: gammaln(x + 1), counts)),
        )

    def _by_cell(self, function: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> np.ndarray:
        """Sums (n,) float64 of function(values, columns) over each cell's non-zeros."""
        ends = self.indptr - self.indptr[0]
        result = np.zeros(ends.size - 1)

        def work(start: int) -> None:
            part = ends[start : start + _WIDENED + 1]
            inside = slice(part[0], part[-1])
            values = function(self.data[inside].astype(np.float64), self.indices[inside])
            cells = np.repeat(np.arange(part.size - 1), np.diff(part))
            result[start : start + _WIDENED] = np.bincount(cells, values, part.size - 1)

        # Some cells at a time: a copy of all values would take more memory than X itself.
        self.threads.run(work, [(start,) for start in range(0, result.size, _WIDENED)])
        return result

    def _rows(self, dtype: np.dtype) -> tuple[np.ndarray, ...]:
        """The arguments that describe the cells to every loop."""
        return self.indptr, self._unsigned, self._values, self.scale.astype(dtype, copy=False)

    def _padded(self, right: Tensor, dtype: np.dtype) -> np.ndarray:
        """A small matrix (M, k) in the precision of the fit, its rows padded to whole vectors."""
        padded = aligned_zeros((self.genes, len(blocks_of(right.shape[1])) * LANES), dtype)
        padded[:, : right.shape[1]] = right.numpy()
        return padded

    def _narrow(self, theta: Tensor, *small: Tensor) -> tuple[np.ndarray, list[np.ndarray]]:
        array = theta.detach().contiguous().numpy()
        return array, [self._padded(part.detach(), array.dtype) for part in small]


def _of_counts(function: Callable[[np.ndarray], np.ndarray], counts: np.ndarray) -> np.ndarray:
    """function(counts); nearly all counts are small whole numbers, and those are looked up."""
    whole = counts.astype(np.intp)
    if whole.max(initial=0) < _LOOKED_UP and np.array_equal(whole, counts):
        return function(np.arange(_LOOKED_UP, dtype=np.float64))[whole]
    return function(counts)
