"""Products of a sparse matrix in CSR form, and of its transpose, with dense ones, row by row.

Every non-zero is read once and a transposed copy is never needed. Rows of the dense factor are
padded to whole vectors (``vectors.LANES``); ``blocks`` has one entry for each of them, and its
length is known when the loops are compiled. Indices come as unsigned integers, which spares the
test for negative ones in the inner loop.
"""

import numpy as np

from neuralNMF.kernels.compiled import compiled, inlined
from neuralNMF.kernels.vectors import LANES, add_four_scaled, add_scaled


@inlined
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


@inlined
def push_row(start, end, indices, data, row, sums, blocks):
    """sums (M, width) += the transpose of the row of non-zeros @ row (width,)."""
    width = len(blocks) * LANES
    for p in range(start, end):
        j = np.int64(indices[p]) * width
        for q in range(0, len(blocks) * LANES, LANES):
            add_scaled(sums, j + q, row, q, data[p])


@compiled
def rows_times(first, past, indptr, indices, data, scale, right, out, blocks):
    """out (n, k) = diag(scale) X (n, M) @ right (M, width), for the rows ``first`` to ``past``.

    ``out`` may be narrower than ``right``. ``indptr`` may start above zero: ``indices`` and
    ``data`` are the arrays of the n rows at hand.
    """
    origin = indptr[0]
    total = np.zeros(right.shape[1], right.dtype)
    for i in range(first, past):
        start, end = indptr[i] - origin, indptr[i + 1] - origin
        row_times(start, end, indices, data, right, total, blocks)
        for q in range(out.shape[1]):
            out[i, q] = scale[i] * total[q]


@compiled
def rows_transposed_times(first, past, indptr, indices, data, scale, left, sums, blocks):
    """sums (M, width) += X^T (M, n) diag(scale) @ left (n, k), over the rows ``first`` to ``past``.

    ``sums`` has the precision of the fit.
    """
    origin = indptr[0]
    row = np.zeros(sums.shape[1], left.dtype)
    for i in range(first, past):
        for q in range(left.shape[1]):
            row[q] = scale[i] * left[i, q]
        start, end = indptr[i] - origin, indptr[i + 1] - origin
        push_row(start, end, indices, data, row, sums, blocks)


@compiled
def carry_over(first, past, sums, totals):
    """totals (M, k) float64 += sums (M, width) for the genes ``first`` to ``past``; sums become 0.

    So a sum over a million cells loses no more digits than a sum over one block of cells.
    """
    for j in range(first, past):
        for q in range(totals.shape[1]):
            totals[j, q] += sums[j, q]
            sums[j, q] = 0


@compiled
def multiply_rows(indptr, indices, codes, factors, data):
    """data (nnz,) of rows (n,) *= factors (B, M), each by the row and column that are its own.

    ``codes`` (n,): which row of ``factors`` belongs to each row; ``indptr`` may start above zero.
    """
    origin = indptr[0]
    for i in range(codes.size):
        batch = codes[i]
        for p in range(indptr[i] - origin, indptr[i + 1] - origin):
            data[p] *= factors[batch, indices[p]]
