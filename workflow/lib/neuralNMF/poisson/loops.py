"""Compiled loops (numba) over the non-zeros of CSR rows for Poisson rates.

The rate of a non-zero is lambda_ij = s_i sum_k theta_ik w_jk + floor. A row's rates stay in a
buffer of its length, and what is summed over the non-zeros is pushed back row by row, so nothing
of the size of (non-zeros x k) or (cells x genes) exists. Each thread adds the genes' sums to a
slice of its own; the slices are added in the order of the threads: the same number of threads,
the same bytes.

``fastmath`` leaves out ``nnan`` and ``ninf``: a NaN in the input must reach the result.
Indices come as unsigned integers, which spares the test for negative ones in the inner loop.
"""

import math

import numba
import numpy as np

_OPTIONS = {
    "parallel": True,
    "fastmath": {"contract", "reassoc", "nsz", "arcp"},
    "error_model": "numpy",
    "cache": True,
}


@numba.njit(**_OPTIONS)
def rate_sums(
    borders,
    indptr,
    indices,
    data,
    scale,
    theta,
    loadings,
    floor,
    flush,
    rows,
    partial,
    sums,
    log_sums,
    want_rows,
    want_columns,
):
    """Sum of x log lambda, and its derivatives by theta and loadings, with r = x / lambda.

    Shape: rows (n, k) = diag(s) R W; sums (threads, M, k) float64 += R^T diag(s) Theta; log_sums
    (threads,) float64. ``partial`` (threads, M, k), in the precision of theta, is emptied into
    ``sums`` every ``flush`` rows, so that a sum over a million cells loses no more than a sum over
    ``flush`` cells does.
    """
    genes, rank = loadings.shape
    origin = indptr[0]
    for thread in numba.prange(borders.shape[0] - 1):
        rate = np.empty(genes, theta.dtype)
        u = np.empty(rank, theta.dtype)
        pushed = np.empty(rank, theta.dtype)
        mine, total = partial[thread], sums[thread]
        log_sum = 0.0
        first = borders[thread]
        while first < borders[thread + 1]:
            last = min(first + flush, borders[thread + 1])
            if want_columns:
                mine[:] = 0
            for i in range(first, last):
                start = indptr[i] - origin
                count = indptr[i + 1] - indptr[i]
                for t in range(rank):
                    u[t] = scale[i] * theta[i, t]
                    pushed[t] = 0
                for p in range(count):
                    j = indices[start + p]
                    value = floor
                    for t in range(rank):
                        value += u[t] * loadings[j, t]
                    rate[p] = value
                for p in range(count):
                    log_sum += data[start + p] * math.log(rate[p])
                for p in range(count):
                    rate[p] = data[start + p] / rate[p]
                if want_rows and want_columns:
                    for p in range(count):
                        j = indices[start + p]
                        r = rate[p]
                        for t in range(rank):
                            pushed[t] += r * loadings[j, t]
                            mine[j, t] += r * u[t]
                elif want_columns:
                    for p in range(count):
                        j = indices[start + p]
                        r = rate[p]
                        for t in range(rank):
                            mine[j, t] += r * u[t]
                elif want_rows:
                    for p in range(count):
                        j = indices[start + p]
                        r = rate[p]
                        for t in range(rank):
                            pushed[t] += r * loadings[j, t]
                if want_rows:
                    for t in range(rank):
                        rows[i, t] = scale[i] * pushed[t]
            if want_columns:
                for j in range(genes):
                    for t in range(rank):
                        total[j, t] += mine[j, t]
            first = last
        log_sums[thread] = log_sum


@numba.njit(**_OPTIONS)
def curvature_sums(
    borders,
    indptr,
    indices,
    data,
    scale,
    theta,
    loadings,
    direction,
    floor,
    flush,
    rows,
    partial,
    sums,
    want_rows,
):
    """Derivatives of F = sum of x omega / lambda with omega_ij = s_i sum_k theta_ik d_jk.

    With r = x / lambda and q = x omega / lambda^2: rows (n, k) = dF/dtheta = diag(s) (R D - Q W);
    sums (threads, M, k) float64 += Q^T diag(s) Theta = -dF/dW. Other arguments as in ``rate_sums``.
    """
    genes, rank = loadings.shape
    origin = indptr[0]
    for thread in numba.prange(borders.shape[0] - 1):
        u = np.empty(rank, theta.dtype)
        pushed = np.empty(rank, theta.dtype)
        mine, total = partial[thread], sums[thread]
        first = borders[thread]
        while first < borders[thread + 1]:
            last = min(first + flush, borders[thread + 1])
            mine[:] = 0
            for i in range(first, last):
                start = indptr[i] - origin
                count = indptr[i + 1] - indptr[i]
                for t in range(rank):
                    u[t] = scale[i] * theta[i, t]
                    pushed[t] = 0
                for p in range(count):
                    j = indices[start + p]
                    value = floor
                    change = floor * 0
                    for t in range(rank):
                        value += u[t] * loadings[j, t]
                        change += u[t] * direction[j, t]
                    r = data[start + p] / value
                    q = r * change / value
                    for t in range(rank):
                        mine[j, t] += q * u[t]
                    if want_rows:
                        for t in range(rank):
                            pushed[t] += r * direction[j, t] - q * loadings[j, t]
                if want_rows:
                    for t in range(rank):
                        rows[i, t] = scale[i] * pushed[t]
            for j in range(genes):
                for t in range(rank):
                    total[j, t] += mine[j, t]
            first = last


@numba.njit(**_OPTIONS)
def hessian_sums(
    borders,
    indptr,
    indices,
    data,
    scale,
    theta,
    loadings,
    floor,
    flush,
    partial,
    sums,
):
    """Lower triangles, by rows, of H_j = sum_i x_ij / lambda_ij^2 u_i u_i^T with u_i = s_i theta_i.

    Shape: partial, sums (threads, M, k (k + 1) / 2); sums float64 +=. Other arguments as above.
    """
    genes, rank = loadings.shape
    entries = partial.shape[2]
    origin = indptr[0]
    for thread in numba.prange(borders.shape[0] - 1):
        u = np.empty(rank, theta.dtype)
        outer = np.empty(entries, theta.dtype)
        mine, total = partial[thread], sums[thread]
        first = borders[thread]
        while first < borders[thread + 1]:
            last = min(first + flush, borders[thread + 1])
            mine[:] = 0
            for i in range(first, last):
                for t in range(rank):
                    u[t] = scale[i] * theta[i, t]
                e = 0
                for a in range(rank):
                    for b in range(a + 1):
                        outer[e] = u[a] * u[b]
                        e += 1
                for p in range(indptr[i] - origin, indptr[i + 1] - origin):
                    j = indices[p]
                    value = floor
                    for t in range(rank):
                        value += u[t] * loadings[j, t]
                    q = data[p] / value / value
                    target = mine[j]
                    for e in range(entries):
                        target[e] += q * outer[e]
            for j in range(genes):
                for e in range(entries):
                    total[j, e] += mine[j, e]
            first = last
