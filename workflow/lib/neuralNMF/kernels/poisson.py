"""Sums over the non-zeros of CSR rows that Poisson models need: values and derivatives of rates.

The rate of a non-zero is lambda_ij = s_i sum_k theta_ik w_jk + floor. A row's rates stay in a
buffer of its length, and what is summed over the non-zeros is pushed back row by row, so nothing
of the size of (non-zeros x k) or (cells x genes) exists.

All loops take the rows ``first`` to ``past`` of a block of cells: indptr (n + 1,) int64, indices
uint32 and data of its rows, scale (n,) library sizes, theta (n, k), programs_t (M, width), floor.
Rows of ``programs_t`` and of all that is summed over genes are padded to whole vectors, ``blocks``
of them (``kernels.vectors``).
"""

import math

import numpy as np

from neuralNMF.kernels.compiled import compiled
from neuralNMF.kernels.sparse import push_row, row_times
from neuralNMF.kernels.vectors import LANES, add_scaled, dot


@compiled
def rate_sums(
    first,
    past,
    indptr,
    indices,
    data,
    scale,
    theta,
    programs_t,
    floor,
    rows,
    sums,
    want_rows,
    want_columns,
    blocks,
):
    """Sum of x log lambda, returned, and its derivatives, with r = x / lambda.

    By theta: rows (n, k) = diag(s) R W. By programs_t: sums (M, width) += R^T diag(s) Theta, in the
    precision of theta.
    """
    genes, width = programs_t.shape
    rank = theta.shape[1]
    origin = indptr[0]
    rates = np.empty(genes, theta.dtype)
    u = np.zeros(width, theta.dtype)
    pushed = np.zeros(width, theta.dtype)
    log_sum = 0.0
    for i in range(first, past):
        start, end = indptr[i] - origin, indptr[i + 1] - origin
        count = end - start
        columns, x, rate = indices[start:end], data[start:end], rates[:count]
        for t in range(rank):
            u[t] = scale[i] * theta[i, t]
        for p in range(count):
            rate[p] = floor + dot(blocks, u, 0, programs_t, np.int64(columns[p]) * width)
        for p in range(count):
            log_sum += x[p] * math.log(rate[p])
        if want_rows or want_columns:
            for p in range(count):
                rate[p] = x[p] / rate[p]
        if want_rows:
            row_times(0, count, columns, rate, programs_t, pushed, blocks)
            for t in range(rank):
                rows[i, t] = scale[i] * pushed[t]
        if want_columns:
            push_row(0, count, columns, rate, u, sums, blocks)
    return log_sum


@compiled
def curvature_sums(
    first,
    past,
    indptr,
    indices,
    data,
    scale,
    theta,
    programs_t,
    direction,
    floor,
    rows,
    sums,
    want_rows,
    blocks,
):
    """Derivatives of F = sum of x omega / lambda with omega_ij = s_i sum_k theta_ik d_jk.

    With r = x / lambda and q = x omega / lambda^2: rows (n, k) = dF/dtheta = diag(s) (R D - Q W);
    sums (M, width) += Q^T diag(s) Theta = -dF/dW. ``direction`` as ``programs_t``.
    """
    genes, width = programs_t.shape
    rank = theta.shape[1]
    origin = indptr[0]
    ratios = np.empty(genes, theta.dtype)
    bends = np.empty(genes, theta.dtype)
    u = np.zeros(width, theta.dtype)
    along, back = np.zeros(width, theta.dtype), np.zeros(width, theta.dtype)
    for i in range(first, past):
        start, end = indptr[i] - origin, indptr[i + 1] - origin
        count = end - start
        columns, x = indices[start:end], data[start:end]
        for t in range(rank):
            u[t] = scale[i] * theta[i, t]
        for p in range(count):
            j = np.int64(columns[p]) * width
            rate = floor + dot(blocks, u, 0, programs_t, j)
            ratios[p] = x[p] / rate
            bends[p] = ratios[p] * dot(blocks, u, 0, direction, j) / rate
        push_row(0, count, columns, bends, u, sums, blocks)
        if want_rows:
            row_times(0, count, columns, ratios, direction, along, blocks)
            row_times(0, count, columns, bends, programs_t, back, blocks)
            for t in range(rank):
                rows[i, t] = scale[i] * (along[t] - back[t])


@compiled
def hessian_sums(first, past, indptr, indices, data, scale, theta, programs_t, floor, sums, blocks):
    """Lower triangles, by rows, of H_j = sum_i x_ij / lambda_ij^2 u_i u_i^T with u_i = s_i theta_i.

    sums (M, entries) +=, its rows k (k + 1) / 2 entries padded to whole vectors.
    """
    width = programs_t.shape[1]
    rank = theta.shape[1]
    entries = sums.shape[1]
    origin = indptr[0]
    u = np.zeros(width, theta.dtype)
    outer = np.zeros(entries, theta.dtype)
    for i in range(first, past):
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
            for e in range(0, entries, LANES):
                add_scaled(sums, j * entries + e, outer, e, q)
