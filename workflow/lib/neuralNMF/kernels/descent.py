"""Coordinate descent on small quadratic models over x >= 0, the step of the ``auto`` optimiser."""

import numba
import numpy as np

from neuralNMF.kernels.tiles import TILE, take_tile
from neuralNMF.kernels.vectors import (
    LANES,
    add_four_scaled,
    add_scaled,
    choose,
    load,
    spread,
    store,
    subtract_product,
)

_OPTIONS = {"fastmath": True, "error_model": "numpy", "cache": True}


@numba.njit(**_OPTIONS)
def add_combination(x, matrix, q, total, at):
    """total[at : at + TILE] += sum over r of matrix[q, r] x[r]; x (k, TILE), matrix (k, k)."""
    k = matrix.shape[0]
    r = 0
    while r + 3 < k:
        c0, c1, c2, c3 = matrix[q, r], matrix[q, r + 1], matrix[q, r + 2], matrix[q, r + 3]
        for lane in range(0, TILE, LANES):
            a, b = r * TILE + lane, (r + 1) * TILE + lane
            c, d = (r + 2) * TILE + lane, (r + 3) * TILE + lane
            add_four_scaled(total, at + lane, x, a, b, c, d, c0, c1, c2, c3)
        r += 4
    while r < k:
        for lane in range(0, TILE, LANES):
            add_scaled(total, at + lane, x, r * TILE + lane, matrix[q, r])
        r += 1


@numba.njit(**_OPTIONS)
def descend_tile(x, linear, curvature, sweeps, total):
    """Lowers <linear_i, x_i> + 1/2 x_i' H x_i over x_i >= 0 for every column i of x, in place.

    x, linear (k, TILE); curvature H (k, k); total (TILE,): room to work in. A coordinate without
    curvature stays.
    """
    number = x.dtype.type
    zero = spread(number(0))
    for _ in range(sweeps):
        for q in range(x.shape[0]):
            # A view of a row would count references in the inner loop, at a cost above its own.
            h = curvature[q, q]
            inverse = number(1) / h if h > 0 else number(0)
            for lane in range(0, TILE, LANES):
                store(total, lane, load(linear, q * TILE + lane))
            add_combination(x, curvature, q, total, 0)
            for at in range(0, TILE, LANES):
                lane = q * TILE + at
                moved = subtract_product(load(x, lane), load(total, at), spread(inverse))
                store(x, lane, choose(moved, moved, zero))


@numba.njit(**_OPTIONS)
def _descend_range(theta, linear, curvature, sweeps, start, stop):
    """`descend_rows` for the rows ``start`` to ``stop``."""
    k = theta.shape[1]
    x = np.zeros((k, TILE), theta.dtype)
    b = np.zeros((k, TILE), theta.dtype)
    total = np.zeros(TILE, theta.dtype)
    for first in range(start, stop, TILE):
        count = min(TILE, stop - first)
        take_tile(theta, first, count, x)
        take_tile(linear, first, count, b)
        descend_tile(x, b, curvature, sweeps, total)
        for lane in range(count):
            for q in range(k):
                theta[first + lane, q] = x[q, lane]


@numba.njit(parallel=True, **_OPTIONS)
def descend_rows(theta, linear, curvature, sweeps, threads):
    """`descend_tile` for all rows of theta, in place.

    theta, linear (N, k); curvature H (k, k), all of one type.
    """
    rows = theta.shape[0]
    if threads == 1:
        _descend_range(theta, linear, curvature, sweeps, 0, rows)
        return
    tiles = (rows + TILE - 1) // TILE
    for t in numba.prange(threads):
        start, stop = TILE * (tiles * t // threads), TILE * (tiles * (t + 1) // threads)
        _descend_range(theta, linear, curvature, sweeps, start, min(rows, stop))


@numba.njit(error_model="numpy", cache=True)
def descend_matrix(theta, slope, left, right, sweeps):
    """Lowers <slope, D> + 1/2 tr(left D right D') over theta + D >= 0, in place of ``theta``.

    theta, slope (a, b); left (a, a); right (b, b).
    """
    a, b = theta.shape
    g = slope.copy()
    for _ in range(sweeps):
        for p in range(a):
            for q in range(b):
                h = left[p, p] * right[q, q]
                if h > 0:
                    moved = max(theta[p, q] - g[p, q] / h, 0.0)
                    d = moved - theta[p, q]
                    if d != 0:
                        theta[p, q] = moved
                        for r in range(a):
                            step = d * left[p, r]
                            for s in range(b):
                                g[r, s] += step * right[q, s]
