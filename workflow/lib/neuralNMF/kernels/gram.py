"""Gram matrices of tall matrices, in double precision whatever the precision of the rows."""

import numpy as np

from neuralNMF.kernels.compiled import compiled, inlined
from neuralNMF.kernels.vectors import LANES, TILE, across, add_product, dot, load, spread, take_tile

_TILE_BLOCKS = (0,) * (TILE // LANES)


@inlined
def add_gram(x, total):
    """total (k, k) += x x' of a tile x (k, TILE) of doubles.

    Two rows with two at a time: what is loaded is used twice.
    """
    k = x.shape[0]
    zero = spread(0.0)
    for q in range(0, k - 1, 2):
        for r in range(0, q + 1, 2):
            aa, ab, ba, bb = zero, zero, zero, zero
            for lane in range(0, TILE, LANES):
                qa, qb = load(x, q * TILE + lane), load(x, (q + 1) * TILE + lane)
                ra, rb = load(x, r * TILE + lane), load(x, (r + 1) * TILE + lane)
                aa, ab = add_product(aa, qa, ra), add_product(ab, qa, rb)
                ba, bb = add_product(ba, qb, ra), add_product(bb, qb, rb)
            _add_pair(total, q, r, across(aa), across(ab), across(ba), across(bb))
    if k % 2:
        q = k - 1
        for r in range(k - 1):
            product = dot(_TILE_BLOCKS, x, q * TILE, x, r * TILE)
            total[q, r] += product
            total[r, q] += product
        total[q, q] += dot(_TILE_BLOCKS, x, q * TILE, x, q * TILE)


@inlined
def _add_pair(total, q, r, aa, ab, ba, bb):
    """The products of the rows q and q + 1 with r and r + 1, and the same across the diagonal."""
    total[q, r] += aa
    total[q, r + 1] += ab
    total[q + 1, r] += ba
    total[q + 1, r + 1] += bb
    if r < q:
        total[r, q] += aa
        total[r + 1, q] += ab
        total[r, q + 1] += ba
        total[r + 1, q + 1] += bb


@compiled
def rows_gram(first, past, rows, total):
    """total (k, k) float64 += r'r, with r the rows ``first`` to ``past`` of rows (N, k)."""
    x = np.zeros((rows.shape[1], TILE))
    for start in range(first, past, TILE):
        take_tile(rows, start, min(TILE, past - start), x)
        add_gram(x, total)


@compiled
def gram_and_products(rows, other, weights, total):
    """total (k, k) += rows' rows; returns (<rows, other>, <total, weights>).

    Shape: rows, other (N, k); weights (k, k), all doubles.
    """
    k = rows.shape[1]
    x = np.zeros((k, TILE))
    by_other = 0.0
    for start in range(0, rows.shape[0], TILE):
        count = min(TILE, rows.shape[0] - start)
        take_tile(rows, start, count, x)
        add_gram(x, total)
        at, end = start * k, (start + count) * k
        products = spread(0.0)
        while at + LANES <= end:
            products = add_product(products, load(rows, at), load(other, at))
            at += LANES
        by_other += across(products)
        while at < end:
            by_other += rows[at // k, at % k] * other[at // k, at % k]
            at += 1
    by_weights = 0.0
    for q in range(k):
        for r in range(k):
            by_weights += total[q, r] * weights[q, r]
    return by_other, by_weights
