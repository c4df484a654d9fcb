"""Coordinate descent on small quadratic models over x >= 0, the step of the ``auto`` optimiser."""

import numba
import numpy as np

# Rows handled side by side, so that the loop over coordinates, which is serial within a cell, runs
# over vectors. Many more than a register holds: the checks before each inner loop cost as much as
# sixteen lanes of it, and a tile of x and g still fits the cache.
_TILE = 128


@numba.njit(parallel=True, fastmath=True, error_model="numpy", cache=True)
def descend_rows(theta, slope, curvature, sweeps, threads):
    """Lowers <slope_i, d> + 1/2 d' H d over theta_i + d >= 0 for every row i, in place.

    theta, slope (N, k); curvature H (k, k), all of one type. A coordinate without curvature stays.
    """
    rows, k = theta.shape
    tiles = (rows + _TILE - 1) // _TILE
    zero = theta.dtype.type(0)
    for thread in numba.prange(threads):
        x = np.zeros((k, _TILE), theta.dtype)
        g = np.zeros((k, _TILE), theta.dtype)
        d = np.zeros(_TILE, theta.dtype)
        for tile in range(tiles * thread // threads, tiles * (thread + 1) // threads):
            first = tile * _TILE
            count = min(_TILE, rows - first)
            for lane in range(count):
                for q in range(k):
                    x[q, lane] = theta[first + lane, q]
                    g[q, lane] = slope[first + lane, q]
            for _ in range(sweeps):
                for q in range(k):
                    h = curvature[q, q]
                    if h > 0:
                        inverse = theta.dtype.type(1) / h
                        xq, gq = x[q], g[q]
                        for lane in range(_TILE):
                            moved = xq[lane] - gq[lane] * inverse
                            moved = moved if moved > zero else zero
                            d[lane] = moved - xq[lane]
                            xq[lane] = moved
                        for r in range(k):
                            c, gr = curvature[q, r], g[r]
                            for lane in range(_TILE):
                                gr[lane] += d[lane] * c
            for lane in range(count):
                for q in range(k):
                    theta[first + lane, q] = x[q, lane]


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
