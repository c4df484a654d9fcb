"""Compiled loops (numba) over the non-zeros of CSR rows for Poisson rates.

The rate of a non-zero is lambda_ij = s_i sum_k theta_ik w_jk + floor. A row's rates stay in a
buffer of its length, and what is summed over the non-zeros is pushed back row by row, so nothing
of the size of (non-zeros x k) or (cells x genes) exists. Each thread adds the genes' sums to a
slice of its own; the slices are added in the order of the threads: the same number of threads,
the same bytes.

Rows of ``programs_t`` and of all that is summed over genes are padded to whole vectors, ``blocks``
of them (``kernels.vectors``).
``fastmath`` leaves out ``nnan`` and ``ninf``: a NaN in the input must reach the result.
Indices come as unsigned integers, which spares the test for negative ones in the inner loop.
"""

import math

import numba
import numpy as np

from neuralNMF.kernels.sparse import flush_sums, push_row, row_times
from neuralNMF.kernels.vectors import LANES, add_scaled, dot

_OPTIONS = {
    "fastmath": {"contract", "reassoc", "nsz", "arcp"},
    "error_model": "numpy",
    "cache": True,
}


@numba.njit(parallel=True, **_OPTIONS)
def rate_sums(
    borders,
    indptr,
    indices,
    data,
    scale,
    theta,
    programs_t,
    floor,
    flush,
    rows,
    partial,
    sums,
    log_sums,
    want_rows,
    want_columns,
    blocks,
):
    """Sum of x log lambda, and its derivatives by theta and programs_t, with r = x / lambda.

    Shape: programs_t (M, width); rows (n, k) = diag(s) R W; sums (threads, M, k) float64 +=
    R^T diag(s) Theta; log_sums (threads,) float64. ``partial`` (threads, M, width), zeros, in the
    precision of theta, is emptied into ``sums`` every ``flush`` rows, so that a sum over a million
    cells loses no more than a sum over ``flush`` cells does.
    """
    genes, width = programs_t.shape
    rank = theta.shape[1]
    origin = indptr[0]
    for thread in numba.prange(borders.shape[0] - 1):
        rates = np.empty(genes, theta.dtype)
        u = np.zeros(width, theta.dtype)
        pushed = np.zeros(width, theta.dtype)
        log_sum = 0.0
        first = borders[thread]
        while first < borders[thread + 1]:
            last = min(first + flush, borders[thread + 1])
            for i in range(first, last):
                start, end = indptr[i] - origin, indptr[i + 1] - origin
                count = end - start
                own, x, rate = indices[start:end], data[start:end], rates[:count]
                for t in range(rank):
                    u[t] = scale[i] * theta[i, t]
                for p in range(count):
                    rate[p] = floor + dot(blocks, u, 0, programs_t, np.int64(own[p]) * width)
                for p in range(count):
                    log_sum += x[p] * math.log(rate[p])
                if want_rows or want_columns:
                    for p in range(count):
                        rate[p] = x[p] / rate[p]
                if want_rows:
                    row_times(0, count, own, rate, programs_t, pushed, blocks)
                    for t in range(rank):
                        rows[i, t] = scale[i] * pushed[t]
                if want_columns:
                    push_row(0, count, own, rate, u, partial[thread], blocks)
            if want_columns:
                flush_sums(partial[thread], sums[thread])
            first = last
        log_sums[thread] = log_sum


@numba.njit(parallel=True, **_OPTIONS)
def curvature_sums(
    borders,
    indptr,
    indices,
    data,
    scale,
    theta,
    programs_t,
    direction,
    floor,
    flush,
    rows,
    partial,
    sums,
    want_rows,
    blocks,
):
    """Derivatives of F = sum of x omega / lambda with omega_ij = s_i sum_k theta_ik d_jk.

    With r = x / lambda and q = x omega / lambda^2: rows (n, k) = dF/dtheta = diag(s) (R D - Q W);
    sums (threads, M, k) float64 += Q^T diag(s) Theta = -dF/dW. Other arguments as in
    ``rate_sums``.
    """
    genes, width = programs_t.shape
    rank = theta.shape[1]
    origin = indptr[0]
    for thread in numba.prange(borders.shape[0] - 1):
        ratios = np.empty(genes, theta.dtype)
        bends = np.empty(genes, theta.dtype)
        u = np.zeros(width, theta.dtype)
        along, back = np.zeros(width, theta.dtype), np.zeros(width, theta.dtype)
        first = borders[thread]
        while first < borders[thread + 1]:
            last = min(first + flush, borders[thread + 1])
            for i in range(first, last):
                start, end = indptr[i] - origin, indptr[i + 1] - origin
                count = end - start
                own, x = indices[start:end], data[start:end]
                for t in range(rank):
                    u[t] = scale[i] * theta[i, t]
                for p in range(count):
                    j = np.int64(own[p]) * width
                    rate = floor + dot(blocks, u, 0, programs_t, j)
                    ratios[p] = x[p] / rate
                    bends[p] = ratios[p] * dot(blocks, u, 0, direction, j) / rate
                push_row(0, count, own, bends, u, partial[thread], blocks)
                if want_rows:
                    row_times(0, count, own, ratios, direction, along, blocks)
                    row_times(0, count, own, bends, programs_t, back, blocks)
                    for t in range(rank):
                        rows[i, t] = scale[i] * (along[t] - back[t])
            flush_sums(partial[thread], sums[thread])
            first = last


@numba.njit(parallel=True, **_OPTIONS)
def hessian_sums(
    borders,
    indptr,
    indices,
    data,
    scale,
    theta,
    programs_t,
    floor,
    flush,
    partial,
    sums,
    blocks,
):
    """Lower triangles, by rows, of H_j = sum_i x_ij / lambda_ij^2 u_i u_i^T with u_i = s_i theta_i.

    Shape: sums (threads, M, k (k + 1) / 2) float64 +=; partial as wide as whole vectors. Other
    arguments as above.
    """
    width = programs_t.shape[1]
    rank = theta.shape[1]
    wide = partial.shape[2]
    origin = indptr[0]
    for thread in numba.prange(borders.shape[0] - 1):
        u = np.zeros(width, theta.dtype)
        outer = np.zeros(wide, theta.dtype)
        mine = partial[thread]
        first = borders[thread]
        while first < borders[thread + 1]:
            last = min(first + flush, borders[thread + 1])
            for i in range(first, last):
                for t in range(rank):
                    u[t] = scale[i] * theta[i, t]
                e = 0
                for a in range(rank):
                    for b in range(a + 1):
                        outer[e] = u[a] * u[b]
                        e += 1
                for p in range(indptr[i] - origin, indptr[i + 1] - origin):
                    j = np.int64(indices[p])
                    rate = floor + dot(blocks, u, 0, programs_t, j * width)
                    q = data[p] / rate / rate
                    for e in range(0, wide, LANES):
                        add_scaled(mine, j * wide + e, outer, e, q)
            flush_sums(mine, sums[thread])
            first = last
