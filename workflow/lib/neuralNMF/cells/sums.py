"""Blocks of cells: how X is cut, so that sums over cells do not depend on who adds them up.

The borders of the blocks follow from the data alone. Whatever is summed over cells is summed within
a block in the precision of the fit, and over the blocks, in their order, in double precision. The
same blocks are used with any number of threads, in memory and streamed: so are the sums.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from neuralNMF.kernels.sparse import carry_over
from neuralNMF.kernels.vectors import LANES, TILE, aligned_zeros
from neuralNMF.threads import Threads

# Sums in single precision run over so many cells at the most.
_MOST_CELLS = 8192
# To carry a block's sums over costs about as much as this many non-zeros a gene at 3 % of the work.
_WORTH_SPARSE, _WORTH_DENSE = 64, 192
# Numbers of blocks that 1, 2, 3, 4, 6 and 8 threads share evenly, as far as so few can be.
_NUMBERS = (1, 2, 3, 4, 6, 8, 12, 24)
# Blocks a thread works on before the sums of all threads are carried over.
_BLOCKS_A_TURN = 4
# Sums of more bytes than this are held once a thread, not several times, and not kept.
_WIDE = 1 << 24


def block_borders(indptr: np.ndarray, genes: int, *, dense: bool = False) -> np.ndarray:
    """Where X is cut into blocks of cells with about the same number of non-zeros.

    Parameters
    ----------
    indptr : ndarray of int64, shape (N + 1,)
        Where each cell's non-zeros begin, as in a CSR matrix.
    genes : int
        M.
    dense : bool
        Whether the blocks are multiplied as dense matrices, which takes the same time a cell.

    Returns
    -------
    ndarray of int64, shape (B + 1,)
        First cell of each block, and N. All but the last are multiples of `kernels.vectors.TILE`.
    """
    cells = indptr.size - 1
    if dense:
        indptr = genes * np.arange(cells + 1)
    nonzeros = int(indptr[-1] - indptr[0])
    by_work = nonzeros // ((_WORTH_DENSE if dense else _WORTH_SPARSE) * genes)
    by_cells = -(-cells // _MOST_CELLS)
    number = max(n for n in _NUMBERS if n <= max(1, by_work))
    if number < by_cells:
        largest = _NUMBERS[-1]
        number = min((n for n in _NUMBERS if n >= by_cells), default=0)
        number = number or largest * -(-by_cells // largest)
    targets = int(indptr[0]) + nonzeros * np.arange(1, number) // number
    inner = np.searchsorted(indptr, targets)
    inner = TILE * np.round(inner / TILE).astype(np.int64)
    borders = np.unique(np.concatenate([[0], inner[inner < cells], [cells]])).astype(np.int64)
    # Cells with few non-zeros make blocks of many cells: these are cut once more.
    parts = [np.arange(*ends, _MOST_CELLS) for ends in pairwise(borders.tolist())]
    return np.concatenate([*parts, [cells]]).astype(np.int64)


@dataclass
class Totals:
    """The arrays that sums over cells are added to, float64; None where there are none.

    Parameters
    ----------
    genes : ndarray or None, shape (M, k)
    small : ndarray or None, of any shape
    """

    genes: np.ndarray | None = None
    small: np.ndarray | None = None


class BlockSums:
    """Adds up the contributions of blocks of cells, in the order of the blocks.

    Each thread works on a block of its own, with arrays of its own to add to; after some blocks
    these are carried over into the totals, in double precision and in the order of the blocks. The
    arrays are kept from one pass over the cells to the next.

    Parameters
    ----------
    threads : Threads
    """

    def __init__(self, threads: Threads) -> None:
        self._threads = threads
        self._arrays: dict[tuple[tuple[int, int], np.dtype], list[np.ndarray]] = {}

    def add(
        self,
        blocks: Sequence[tuple[int, int]],
        work: Callable[[int, int, np.ndarray, np.ndarray], None],
        totals: Totals,
        dtype: np.dtype,
    ) -> None:
        """Call ``work(first, past, genes, small)`` for every block, and add up what it adds.

        Parameters
        ----------
        blocks : sequence of (int, int)
            First row and the one past the last, of the rows at hand.
        work : callable
            Adds to ``genes`` (M, width), in ``dtype``, padded to whole vectors, and to ``small``,
            in double precision; both begin with zeros. Empty arrays where no totals are asked for.
        totals : Totals
            Added to.
        dtype : numpy.dtype
            The precision of the fit.
        """
        at_once = self._at_once(len(blocks), totals, dtype)
        of_genes = self._of_genes(totals, dtype, at_once)
        shape = () if totals.small is None else totals.small.shape
        of_small = [np.zeros(shape) for _ in range(at_once)]
        try:
            for start in range(0, len(blocks), at_once):
                turn = blocks[start : start + at_once]
                self._threads.run(
                    work, [(*rows, of_genes[n], of_small[n]) for n, rows in enumerate(turn)]
                )
                for small in of_small[: len(turn)]:
                    if totals.small is not None:
                        totals.small += small
                    small[...] = 0
                self._carry_over(of_genes[: len(turn)], totals)
        except BaseException:
            # They hold part of a pass, and the next one expects zeros.
            self._arrays.clear()
            raise

    def _at_once(self, blocks: int, totals: Totals, dtype: np.dtype) -> int:
        """How many blocks are worked on before their sums are carried over."""
        threads = self._threads.count
        if threads == 1:
            return 1
        size = 0 if totals.genes is None else totals.genes.size * np.dtype(dtype).itemsize
        turn = _BLOCKS_A_TURN if size <= _WIDE else 1
        return max(1, min(blocks, turn * threads))

    def _of_genes(self, totals: Totals, dtype: np.dtype, number: int) -> list[np.ndarray]:
        shape = (0, LANES)
        if totals.genes is not None:
            genes, rank = totals.genes.shape
            shape = (genes, LANES * -(-rank // LANES))
        if shape[0] * shape[1] * np.dtype(dtype).itemsize > _WIDE:
            return [aligned_zeros(shape, dtype) for _ in range(number)]
        kept = self._arrays.setdefault((shape, np.dtype(dtype)), [])
        kept += [aligned_zeros(shape, dtype) for _ in range(number - len(kept))]
        return kept[:number]

    def _carry_over(self, arrays: list[np.ndarray], totals: Totals) -> None:
        if totals.genes is None:
            return

        def carry(first: int, past: int) -> None:
            for sums in arrays:
                carry_over(first, past, sums, totals.genes)

        self._threads.run(carry, self._threads.split(totals.genes.shape[0]))
