"""Coordinate descent on small quadratic models over x >= 0, the step of the ``auto`` optimiser.

Each row, or a small matrix as a whole, has a model of its own; all rows share the curvature H.
"""

import numpy as np

from neuralNMF.kernels.compiled import compiled, inlined
from neuralNMF.kernels.vectors import (
    LANES,
    TILE,
    add_four_scaled,
    add_scaled,
    load,
    positive_part,
    spread,
    store,
    subtract_product,
    take_tile,
)


@inlined
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


@inlined
def descend_tile(x, linear, curvature, sweeps, total):
    """Lower <linear_i, x_i> + 1/2 x_i' H x_i over x_i >= 0 for every column i of x, in place.

    Shape: x, linear (k, TILE); curvature H (k, k); total (TILE,), room to work in.

    A coordinate without curvature stays.
    """
    number = x.dtype.type
    for _ in range(sweeps):
        for q in range(x.shape[0]):
            # A view of a row would count references in the inner loop, at a cost above its own.
            h = curvature[q, q]
            inverse = number(0) if h <= 0 else number(1) / h
            for lane in range(0, TILE, LANES):
                store(total, lane, load(linear, q * TILE + lane))
            add_combination(x, curvature, q, total, 0)
            for at in range(0, TILE, LANES):
                lane = q * TILE + at
                moved = subtract_product(load(x, lane), load(total, at), spread(inverse))
                store(x, lane, positive_part(moved))


@compiled
def descend_rows(first, past, theta, linear, curvature, sweeps):
    """`descend_tile` for the rows ``first`` to ``past`` of theta, in place.

    Shape: theta, linear (N, k); curvature H (k, k), all of one type.
    """
    k = theta.shape[1]
    x = np.zeros((k, TILE), theta.dtype)
    b = np.zeros((k, TILE), theta.dtype)
    total = np.zeros(TILE, theta.dtype)
    for start in range(first, past, TILE):
        count = min(TILE, past - start)
        take_tile(theta, start, count, x)
        take_tile(linear, start, count, b)
        descend_tile(x, b, curvature, sweeps, total)
        for lane in range(count):
            for q in range(k):
                theta[start + lane, q] = x[q, lane]


@compiled
def descend_matrix(theta, slope, left, right, sweeps):
    """Lower <slope, D> + 1/2 tr(left D right D') over theta + D >= 0, in place of ``theta``.

    Shape: theta, slope (a, b); left (a, a); right (b, b).
    """
    a, b = theta.shape
    g = slope.copy()
    for _ in range(sweeps):
        for p in range(a):
            for q in range(b):
                h = left[p, p] * right[q, q]
                if not h <= 0:
                    moved = theta[p, q] - g[p, q] / h
                    moved = 0.0 if moved < 0 else moved
                    d = moved - theta[p, q]
                    if d != 0:
                        theta[p, q] = moved
                        for r in range(a):
                            step = d * left[p, r]
                            for s in range(b):
                                g[r, s] += step * right[q, s]
