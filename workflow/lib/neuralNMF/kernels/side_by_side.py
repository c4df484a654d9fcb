"""Small non-negative problems side by side, one in each lane of a vector.

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

    Two columns at a time, in tiles of four rows: what is loaded is used twice and four times.
    """
    k = gram.shape[0]
    for c in range(0, k - 1, 2):
        one = c * (c + 1) // 2 * LANES  # where row c begins, and row c + 1
        two = one + (c + 1) * LANES
        end = c * LANES
        first, between, second = (
            spread(gram[c, c]),
            spread(gram[c + 1, c]),
            spread(gram[c + 1, c + 1]),
        )
        for a in range(0, end, LANES):
            x, y = load(factor, one + a), load(factor, two + a)
            first = subtract_product(first, x, x)
            between = subtract_product(between, x, y)
            second = subtract_product(second, y, y)
        first = product(inverse_root(first, tiny), load(passive, end))
        between = product(between, first)
        second = subtract_product(second, between, between)
        second = product(inverse_root(second, tiny), load(passive, end + LANES))
        store(factor, one + end, first)
        store(factor, two + end, between)
        store(factor, two + end + LANES, second)
        r, row = c + 2, two + (c + 2) * LANES
        while r + 3 < k:
            row = _four_rows(gram, factor, r, row, c, one, two, first, between, second)
            r += 4
        while r < k:
            x, y = spread(gram[r, c]), spread(gram[r, c + 1])
            for a in range(0, end, LANES):
                own = load(factor, row + a)
                x = subtract_product(x, own, load(factor, one + a))
                y = subtract_product(y, own, load(factor, two + a))
            x = product(x, first)
            store(factor, row + end, x)
            store(factor, row + end + LANES, product(subtract_product(y, x, between), second))
            row += (r + 1) * LANES
            r += 1
    if k % 2:
        row = (k - 1) * k // 2 * LANES
        end = (k - 1) * LANES
        last = spread(gram[k - 1, k - 1])
        for a in range(0, end, LANES):
            last = subtract_product(last, load(factor, row + a), load(factor, row + a))
        store(factor, row + end, product(inverse_root(last, tiny), load(passive, end)))


@inlined
def _four_rows(gram, factor, r, row, c, one, two, first, between, second):
    """Columns c and c + 1 of the rows r to r + 3, the first of which begins at ``row``.

    ``one`` and ``two`` are where the rows c and c + 1 begin; ``first`` and ``second`` the inverses
    of their pivots, ``between`` the entry of L that they share. Returns where row r + 4 begins.
    """
    end = c * LANES
    row1 = row + (r + 1) * LANES
    row2 = row1 + (r + 2) * LANES
    row3 = row2 + (r + 3) * LANES
    x0, y0 = spread(gram[r, c]), spread(gram[r, c + 1])
    x1, y1 = spread(gram[r + 1, c]), spread(gram[r + 1, c + 1])
    x2, y2 = spread(gram[r + 2, c]), spread(gram[r + 2, c + 1])
    x3, y3 = spread(gram[r + 3, c]), spread(gram[r + 3, c + 1])
    for a in range(0, end, LANES):
        x, y = load(factor, one + a), load(factor, two + a)
        own = load(factor, row + a)
        x0, y0 = subtract_product(x0, own, x), subtract_product(y0, own, y)
        own = load(factor, row1 + a)
        x1, y1 = subtract_product(x1, own, x), subtract_product(y1, own, y)
        own = load(factor, row2 + a)
        x2, y2 = subtract_product(x2, own, x), subtract_product(y2, own, y)
        own = load(factor, row3 + a)
        x3, y3 = subtract_product(x3, own, x), subtract_product(y3, own, y)
    x0, x1, x2, x3 = product(x0, first), product(x1, first), product(x2, first), product(x3, first)
    store(factor, row + end, x0)
    store(factor, row1 + end, x1)
    store(factor, row2 + end, x2)
    store(factor, row3 + end, x3)
    end += LANES
    store(factor, row + end, product(subtract_product(y0, x0, between), second))
    store(factor, row1 + end, product(subtract_product(y1, x1, between), second))
    store(factor, row2 + end, product(subtract_product(y2, x2, between), second))
    store(factor, row3 + end, product(subtract_product(y3, x3, between), second))
    return row3 + (r + 4) * LANES


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
    """Moves the variables of the wrong sign into or out of ``passive``, after `substitute`.

    ``slack`` (LANES,): how far above zero the negative gradient of a variable off the support must
    lie for it to enter; ``wrong`` (LANES,): how many moved in each lane.
    """
    k = gram.shape[0]
    count = spread(0.0)
    for i in range(0, k - 3, 4):
        s0, s1 = load(right, i * LANES), load(right, (i + 1) * LANES)
        s2, s3 = load(right, (i + 2) * LANES), load(right, (i + 3) * LANES)
        for r in range(k):
            x = load(values, r * LANES)
            s0 = subtract_product(s0, x, spread(gram[i, r]))
            s1 = subtract_product(s1, x, spread(gram[i + 1, r]))
            s2 = subtract_product(s2, x, spread(gram[i + 2, r]))
            s3 = subtract_product(s3, x, spread(gram[i + 3, r]))
        count = _judge(factor, values, passive, slack, i, s0, count)
        count = _judge(factor, values, passive, slack, i + 1, s1, count)
        count = _judge(factor, values, passive, slack, i + 2, s2, count)
        count = _judge(factor, values, passive, slack, i + 3, s3, count)
    for i in range(k - k % 4, k):
        slope = load(right, i * LANES)
        for r in range(k):
            slope = subtract_product(slope, load(values, r * LANES), spread(gram[i, r]))
        count = _judge(factor, values, passive, slack, i, slope, count)
    store(wrong, 0, count)


@inlined
def _judge(factor, values, passive, slack, i, slope, count):
    """Where variable i goes, given its negative gradient; returns ``count`` and who moved."""
    used = above(load(factor, (i * (i + 1) // 2 + i) * LANES), spread(0.0))
    # A dead factor's right side and slope are zero: it never enters.
    enters = above(slope, load(slack, 0))
    stays = choose(used, above(load(values, i * LANES), spread(0.0)), enters)
    store(passive, i * LANES, stays)
    moved = subtract_product(stays, used, spread(1.0))
    return add_product(count, moved, moved)
