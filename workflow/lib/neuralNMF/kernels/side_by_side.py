"""Steps of block pivoting for small non-negative problems, one in each lane of a vector.

``LANES`` columns share a Gram matrix G (k, k) and have each their own support, right side and
Cholesky factor. A variable that is off its support has a zero pivot, so that all factors have the
same shape. Of a factor L the strict lower triangle is kept, and the inverse of the diagonal in its
place, packed by rows: (k (k + 1) / 2, LANES). All numbers are in double precision.
"""

from neuralNMF.kernels.compiled import inlined
from neuralNMF.kernels.vectors import (
    LANES,
    above,
    add_product,
    choose,
    inverse_root,
    load,
    product,
    spread,
    store,
    subtract_product,
)


@inlined
def factorise(gram, passive, factor, tiny):
    """Cholesky factors of gram on each lane's support; passive (k, LANES) of 0 and 1.

    A variable that is off the support, or depends on those before it (its pivot is at most
    ``tiny``), has a pivot of zero: what its row holds beside the pivot is never used.
    """
    k = gram.shape[0]
    for r in range(k):
        row = r * (r + 1) // 2 * LANES
        pivot = spread(gram[r, r])
        for c in range(r):
            start = c * (c + 1) // 2 * LANES
            value = spread(gram[r, c])
            for a in range(0, c * LANES, LANES):
                value = subtract_product(value, load(factor, row + a), load(factor, start + a))
            value = product(value, load(factor, start + c * LANES))
            store(factor, row + c * LANES, value)
            pivot = subtract_product(pivot, value, value)
        end = r * LANES
        store(factor, row + end, product(inverse_root(pivot, tiny), load(passive, end)))


@inlined
def substitute(factor, values):
    """values (k, LANES) = (L L')^-1 values on each lane's support, zero off it, in place."""
    k = values.shape[0]
    row = 0
    for c in range(k):
        value = load(values, c * LANES)
        for a in range(0, c * LANES, LANES):
            value = subtract_product(value, load(factor, row + a), load(values, a))
        row += c * LANES
        store(values, c * LANES, product(value, load(factor, row)))
        row += LANES
    for c in range(k - 1, -1, -1):
        value = load(values, c * LANES)
        # Down column c, from its end: the newest value is waited for last.
        place = ((k - 1) * k // 2 + c) * LANES
        for r in range(k - 1, c, -1):
            value = subtract_product(value, load(factor, place), load(values, r * LANES))
            place -= r * LANES
        store(values, c * LANES, product(value, load(factor, place)))


@inlined
def exchange(gram, right, factor, values, passive, slack, wrong):
    """Move the variables of the wrong sign into or out of ``passive``, after `substitute`.

    Shape: gram (k, k); right, values, passive (k, LANES); factor (k (k + 1) / 2, LANES). A variable
    off the support enters where its negative gradient is above slack (LANES,). On return, wrong
    (LANES,) holds how many variables moved in each lane.
    """
    k = gram.shape[0]
    count = spread(0.0)
    for i in range(k):
        slope = load(right, i * LANES)
        for r in range(k):
            slope = subtract_product(slope, load(values, r * LANES), spread(gram[i, r]))
        count = _judge(factor, values, passive, slack, i, slope, count)
    store(wrong, 0, count)


@inlined
def _judge(factor, values, passive, slack, i, slope, count):
    """Move variable i by its negative gradient; returns ``count``, plus 1 where it moved."""
    used = above(load(factor, (i * (i + 1) // 2 + i) * LANES), spread(0.0))
    # A dead factor's right side and slope are zero: it never enters.
    enters = above(slope, load(slack, 0))
    stays = choose(used, above(load(values, i * LANES), spread(0.0)), enters)
    store(passive, i * LANES, stays)
    moved = subtract_product(stays, used, spread(1.0))
    return add_product(count, moved, moved)
