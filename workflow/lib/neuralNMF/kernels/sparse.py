"""Sparse times dense on CSR rows, walked row by row in both directions.

The rows are split among threads by non-zeros. Both kernels read every non-zero once and never need
a transposed copy. One thread does its work without waking the others, which would cost small data
more than the work. Rows of the dense factor are padded to whole vectors (``vectors.LANES``);
``blocks`` has one entry for each of them, and its length is known when the loops are compiled.
"""

import numba
import numpy as np

from neuralNMF.kernels.vectors import LANES, add_four_scaled, add_scaled

_OPTIONS = {"fastmath": True, "error_model": "numpy", "cache": True}


def split_rows(indptr: np.ndarray, threads: int) -> np.ndarray:
    """Row borders (threads + 1,) that give every thread about the same number of non-zeros."""
    first, last = int(indptr[0]), int(indptr[-1])
    targets = first + (last - first) * np.arange(threads + 1) // threads
    borders = np.searchsorted(indptr, targets, side="left")
    borders[0], borders[-1] = 0, indptr.size - 1
    return np.maximum.accumulate(borders).astype(np.int64)


@numba.njit(**_OPTIONS)
def row_times(start, end, indices, data, right, total, blocks):
    """total (width,) = the row of the non-zeros ``start`` to ``end`` @ right (M, width)."""
    width = len(blocks) * LANES
    total[:] = 0
    p = start
    # Four non-zeros at a time: one load and store of `total` for four multiply-adds.
    while p + 3 < end:
        x0, x1, x2, x3 = data[p], data[p + 1], data[p + 2], data[p + 3]
        j0, j1 = np.int64(indices[p]) * width, np.int64(indices[p + 1]) * width
        j2, j3 = np.int64(indices[p + 2]) * width, np.int64(indices[p + 3]) * width
        for q in range(0, len(blocks) * LANES, LANES):
            add_four_scaled(total, q, right, j0 + q, j1 + q, j2 + q, j3 + q, x0, x1, x2, x3)
        p += 4
    while p < end:
        j = np.int64(indices[p]) * width
        for q in range(0, len(blocks) * LANES, LANES):
            add_scaled(total, q, right, j + q, data[p])
        p += 1


@numba.njit(**_OPTIONS)
def push_row(start, end, indices, data, row, sums, blocks):
    """sums (M, width) += the transpose of the row of non-zeros @ row (width,)."""
    width = len(blocks) * LANES
    for p in range(start, end):
        j = np.int64(indices[p]) * width
        for q in range(0, len(blocks) * LANES, LANES):
            add_scaled(sums, j + q, row, q, data[p])


@numba.njit(**_OPTIONS)
def flush_sums(partial, sums):
    """Adds ``partial`` (M, width) to ``sums`` (M, k) in double precision and empties it."""
    for j in range(partial.shape[0]):
        for q in range(sums.shape[1]):
            sums[j, q] += partial[j, q]
            partial[j, q] = 0


@numba.njit(**_OPTIONS)
def _times(first, last, indptr, indices, data, scale, right, out, blocks):
    """`rows_times` for the rows ``first`` to ``last``."""
    origin = indptr[0]
    total = np.zeros(right.shape[1], right.dtype)
    for i in range(first, last):
        start, end = indptr[i] - origin, indptr[i + 1] - origin
        row_times(start, end, indices, data, right, total, blocks)
        for q in range(out.shape[1]):
            out[i, q] = scale[i] * total[q]


@numba.njit(parallel=True, **_OPTIONS)
def rows_times(borders, indptr, indices, data, scale, right, out, blocks):
    """out (n, k) = diag(scale) X (n, M) @ right (M, width); ``out`` may be narrower than ``right``.

    ``indptr`` may start above zero: ``indices`` and ``data`` are the arrays of the rows at hand.
    """
    threads = borders.shape[0] - 1
    if threads == 1:
        _times(0, borders[1], indptr, indices, data, scale, right, out, blocks)
        return
    for t in numba.prange(threads):
        _times(borders[t], borders[t + 1], indptr, indices, data, scale, right, out, blocks)


@numba.njit(**_OPTIONS)
def _transposed_times(
    first, last, indptr, indices, data, scale, left, partial, sums, flush, blocks
):
    """`rows_transposed_times` for the rows ``first`` to ``last``, into one thread's slices."""
    origin = indptr[0]
    row = np.zeros(partial.shape[1], left.dtype)
    while first < last:
        past = min(first + flush, last)
        for i in range(first, past):
            for q in range(left.shape[1]):
                row[q] = scale[i] * left[i, q]
            start, end = indptr[i] - origin, indptr[i + 1] - origin
            push_row(start, end, indices, data, row, partial, blocks)
        flush_sums(partial, sums)
        first = past


@numba.njit(parallel=True, **_OPTIONS)
def rows_transposed_times(
    borders, indptr, indices, data, scale, left, partial, sums, flush, blocks
):
    """sums (threads, M, k) float64 += X^T (M, n) diag(scale) @ left (n, k), one slice a thread.

    ``partial`` (threads, M, width), zeros, has the precision of the fit; it is emptied into
    ``sums`` every ``flush`` rows, so that a sum over a million cells loses no more than a sum over
    ``flush`` cells does.
    """
    threads = borders.shape[0] - 1
    cells = (indptr, indices, data, scale, left)
    if threads == 1:
        _transposed_times(0, borders[1], *cells, partial[0], sums[0], flush, blocks)
        return
    for t in numba.prange(threads):
        _transposed_times(borders[t], borders[t + 1], *cells, partial[t], sums[t], flush, blocks)
