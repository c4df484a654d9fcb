"""Sparse times dense on CSR rows, walked row by row in both directions.

The rows are split among threads by non-zeros. Both kernels read every non-zero once and never need
a transposed copy. Inner loops run over ``width`` = k rounded up to eight, so that they compile to
whole vector registers. Indices are passed as unsigned integers, which spares the test for negative
ones in the inner loop.
"""

import numba
import numpy as np

_OPTIONS = {"parallel": True, "fastmath": True, "error_model": "numpy", "cache": True}
_LANES = 8


def padded_width(rank: int) -> int:
    """Rank rounded up to a whole number of vector registers."""
    return -(-rank // _LANES) * _LANES


def split_rows(indptr: np.ndarray, threads: int) -> np.ndarray:
    """Row borders (threads + 1,) that give every thread about the same number of non-zeros."""
    first, last = int(indptr[0]), int(indptr[-1])
    targets = first + (last - first) * np.arange(threads + 1) // threads
    borders = np.searchsorted(indptr, targets, side="left")
    borders[0], borders[-1] = 0, indptr.size - 1
    return np.maximum.accumulate(borders).astype(np.int64)


@numba.njit(**_OPTIONS)
def rows_times(borders, indptr, indices, data, scale, right, out):
    """out (n, k) = diag(scale) X (n, M) @ right (M, width); ``out`` may be narrower than ``right``.

    ``indptr`` may start above zero: ``indices`` and ``data`` are the arrays of the rows at hand.
    """
    width = right.shape[1]
    rank = out.shape[1]
    origin = indptr[0]
    for thread in numba.prange(borders.shape[0] - 1):
        total = np.zeros(width, right.dtype)
        for i in range(borders[thread], borders[thread + 1]):
            for q in range(width):
                total[q] = 0
            p = indptr[i] - origin
            end = indptr[i + 1] - origin
            # Four non-zeros at a time: one load and store of `total` for four multiply-adds.
            while p + 3 < end:
                x0, x1, x2, x3 = data[p], data[p + 1], data[p + 2], data[p + 3]
                r0, r1 = right[indices[p]], right[indices[p + 1]]
                r2, r3 = right[indices[p + 2]], right[indices[p + 3]]
                for q in range(width):
                    total[q] += (x0 * r0[q] + x1 * r1[q]) + (x2 * r2[q] + x3 * r3[q])
                p += 4
            while p < end:
                x0 = data[p]
                r0 = right[indices[p]]
                for q in range(width):
                    total[q] += x0 * r0[q]
                p += 1
            for q in range(rank):
                out[i, q] = scale[i] * total[q]


@numba.njit(**_OPTIONS)
def rows_transposed_times(borders, indptr, indices, data, scale, left, partial, sums, flush):
    """sums (threads, M, width) float64 += X^T (M, n) diag(scale) @ left (n, k), one slice a thread.

    ``partial`` has the precision of the data; it is emptied into ``sums`` every ``flush`` rows, so
    that a sum over a million cells loses no more than a sum over ``flush`` cells does.
    """
    width = partial.shape[2]
    rank = left.shape[1]
    origin = indptr[0]
    for thread in numba.prange(borders.shape[0] - 1):
        mine = partial[thread]
        total = sums[thread]
        row = np.zeros(width, left.dtype)
        start = borders[thread]
        while start < borders[thread + 1]:
            stop = min(start + flush, borders[thread + 1])
            mine[:] = 0
            for i in range(start, stop):
                for q in range(rank):
                    row[q] = scale[i] * left[i, q]
                for p in range(indptr[i] - origin, indptr[i + 1] - origin):
                    x = data[p]
                    target = mine[indices[p]]
                    for q in range(width):
                        target[q] += x * row[q]
            for j in range(mine.shape[0]):
                for q in range(width):
                    total[j, q] += mine[j, q]
            start = stop
