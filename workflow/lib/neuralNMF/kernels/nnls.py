"""Non-negative least squares from normal equations, column by column, and its derivative.

minimise 1/2 s'Gs - s'b over s >= 0, for one G (k, k) and many b. Each column starts from the
support it had last time. Block principal pivoting (Kim & Park 2011, SIAM J. Sci. Comput. 33(6))
settles nearly all columns; one that has not settled after a few exchanges, which happens for nearly
dependent columns, is solved by the active-set method of Lawson & Hanson (1974), which always ends.
A variable that depends on the others of its support (its pivot is at most ``tiny``) is left at
zero.

``LANES`` columns are solved side by side, each with the Cholesky factor of its own support: a
variable that is off the support has a zero pivot, so that all factors have the same shape.
Of a factor L the strict lower triangle is kept, and the inverse of the diagonal in its place,
packed by rows: (k (k + 1) / 2, LANES).

G is expected with a unit diagonal (or a zero row and column for a dead factor).
"""

import numba
import numpy as np

from neuralNMF.kernels.vectors import (
    LANES,
    add_scaled,
    fill,
    inverse_root,
    multiply,
    subtract_products,
)

_SERIAL = {"error_model": "numpy", "cache": True}
_PARALLEL = {**_SERIAL, "parallel": True}
_ROUNDS = 30
_PATIENCE = 3


@numba.njit(**_SERIAL)
def _factor_side_by_side(gram, passive, factor, tiny):
    """Cholesky factors of gram on each lane's support; passive (k, LANES) of 0 and 1.

    A variable that is off the support, or depends on those before it, has a pivot of zero: what its
    row holds beside the pivot is never used.
    """
    k = gram.shape[0]
    for c in range(k):
        own = c * (c + 1) // 2  # where row c begins
        row = own
        for r in range(c, k):
            place = (row + c) * LANES
            fill(factor, place, gram[r, c])
            subtract_products(factor, place, factor, row * LANES, factor, own * LANES, c)
            if r == c:
                inverse_root(factor, place, passive, c * LANES, tiny)
            else:
                multiply(factor, place, factor, (own + c) * LANES)
            row += r + 1


@numba.njit(**_SERIAL)
def _substitute_side_by_side(factor, values):
    """values (k, LANES) = (L L')^-1 values on each lane's support, zero off it, in place."""
    k = values.shape[0]
    row = 0
    for c in range(k):
        subtract_products(values, c * LANES, factor, row * LANES, values, 0, c)
        multiply(values, c * LANES, factor, (row + c) * LANES)
        row += c + 1
    for c in range(k - 1, -1, -1):
        row -= c + 1
        multiply(values, c * LANES, factor, (row + c) * LANES)
        for a in range(c):
            at = a * LANES
            subtract_products(values, at, factor, (row + a) * LANES, values, c * LANES, 1)


@numba.njit(**_SERIAL)
def _exchange(gram, right, factor, values, slope, passive, slack, left, best):
    """One round of block principal pivoting, after the solve on the supports ``passive``.

    ``left`` (LANES,): rounds that a lane still has without getting nearer. A lane moves all its
    variables of the wrong sign; ``left`` is then -1 where none was wrong, and 0 where none is left.
    """
    k = gram.shape[0]
    slope[:] = right
    for i in range(k):
        for r in range(k):
            add_scaled(slope, i * LANES, values, r * LANES, -gram[i, r])
    for lane in range(LANES):
        wrong = 0
        for i in range(k):
            if factor[i * (i + 1) // 2 + i, lane] > 0:
                stays = values[i, lane] > 0
                wrong += not stays
            else:
                stays = gram[i, i] > 0 and slope[i, lane] > slack[lane]
                wrong += stays
            passive[i, lane] = 1.0 if stays else 0.0
        if wrong == 0:
            left[lane] = -1
        elif wrong < best[lane]:
            best[lane] = wrong
            left[lane] = _PATIENCE
        else:
            left[lane] -= 1


@numba.njit(**_SERIAL)
def _factor(gram, order, count, lower, tiny):
    """Cholesky factor of gram[order, order]; returns how many of ``order`` were independent.

    Dependent variables are taken out of ``order`` (the rest keep their sequence). ``lower`` (k, k).
    """
    kept = 0
    for c in range(count):
        variable = order[c]
        pivot = gram[variable, variable]
        for a in range(kept):
            value = gram[variable, order[a]]
            for b in range(a):
                value -= lower[kept, b] * lower[a, b]
            value /= lower[a, a]
            lower[kept, a] = value
            pivot -= value * value
        if pivot > tiny:
            lower[kept, kept] = np.sqrt(pivot)
            order[kept] = variable
            kept += 1
    return kept


@numba.njit(**_SERIAL)
def _substitute(lower, order, count, right, out):
    """out[:count] = (L L')^-1 right[order]."""
    for a in range(count):
        value = right[order[a]]
        for b in range(a):
            value -= lower[a, b] * out[b]
        out[a] = value / lower[a, a]
    for a in range(count - 1, -1, -1):
        value = out[a]
        for b in range(a + 1, count):
            value -= lower[b, a] * out[b]
        out[a] = value / lower[a, a]


@numba.njit(**_SERIAL)
def _descent(gram, right, order, count, values, variable):
    """Negative gradient of one variable: b_i - G_iP s_P."""
    value = right[variable]
    for a in range(count):
        value -= gram[variable, order[a]] * values[a]
    return value


@numba.njit(**_SERIAL)
def _drop(order, solution, count):
    """Takes the variables whose value is zero out of the support, keeping their sequence."""
    kept = 0
    for a in range(count):
        if solution[order[a]] > 0:
            order[kept] = order[a]
            kept += 1
    return kept


@numba.njit(**_SERIAL)
def _active_set(gram, right, order, lower, values, solution, tiny, slack):
    """Lawson & Hanson from the empty support; returns the size of the support."""
    k = right.shape[0]
    solution[:] = 0
    barred = np.zeros(k, np.bool_)
    count = 0
    for _ in range(30 * k):
        entering, steepest = -1, slack
        for a in range(count):
            values[a] = solution[order[a]]
        for i in range(k):
            if solution[i] == 0 and not barred[i] and gram[i, i] > 0:
                slope = _descent(gram, right, order, count, values, i)
                if slope > steepest:
                    entering, steepest = i, slope
        if entering < 0:
            break
        order[count] = entering
        grown = _factor(gram, order, count + 1, lower, tiny)
        independent = grown == count + 1
        if independent:
            _substitute(lower, order, grown, right, values)
        if not independent or values[count] <= 0:
            barred[entering] = True
            continue
        barred[:] = False
        count = grown
        while True:
            step = 1.0
            for a in range(count):
                if values[a] <= 0:
                    step = min(step, solution[order[a]] / (solution[order[a]] - values[a]))
            blocked = False
            for a in range(count):
                i = order[a]
                if values[a] <= 0 and solution[i] <= step * (solution[i] - values[a]):
                    solution[i] = 0
                    blocked = True
                else:
                    solution[i] += step * (values[a] - solution[i])
            if not blocked:
                break
            count = _drop(order, solution, count)
            count = _factor(gram, order, count, lower, tiny)
            _substitute(lower, order, count, right, values)
    # The support in rising order, as the derivative expects it.
    count = 0
    for i in range(k):
        if solution[i] > 0:
            order[count] = i
            count += 1
    count = _factor(gram, order, count, lower, tiny)
    _substitute(lower, order, count, right, values)
    return count


@numba.njit(**_SERIAL)
def _one_by_one(gram, right, support, solution, factor, lane, tiny, slack):
    """The active-set method for one column, b = ``right``; its factor into one lane."""
    k = gram.shape[0]
    order = np.zeros(k + 1, np.int64)
    lower = np.zeros((k + 1, k + 1))
    found = np.zeros(k + 1)
    count = _active_set(gram, right, order, lower, found, solution, tiny, slack)
    factor[:, lane] = 0
    solution[:] = 0
    support[:] = False
    for a in range(count):
        first = order[a] * (order[a] + 1) // 2
        for c in range(a):
            factor[first + order[c], lane] = lower[a, c]
        factor[first + order[a], lane] = 1.0 / lower[a, a]
        solution[order[a]] = max(found[a], 0.0)
        support[order[a]] = found[a] > 0


@numba.njit(**_SERIAL)
def _gather(rows, chosen, count, lanes):
    """lanes (k, LANES) = ``count`` chosen rows, side by side; zero in the lanes that are left."""
    for lane in range(LANES):
        if lane < count:
            for i in range(rows.shape[1]):
                lanes[i, lane] = rows[chosen[lane], i]
        else:
            lanes[:, lane] = 0


@numba.njit(**_SERIAL)
def _scatter(lanes, chosen, count, rows):
    """The way back."""
    for lane in range(count):
        for i in range(rows.shape[1]):
            rows[chosen[lane], i] = lanes[i, lane]


@numba.njit(**_PARALLEL)
def solve_columns(gram, right, support, solution, factors, tiny, relative_slack, threads):
    """Solves every row of ``right`` (M, k) in place of ``solution`` (M, k).

    ``support`` (M, k) bool: where to start from, and on return where the solution is positive.
    ``factors`` (ceil(M / LANES), k (k + 1) / 2, LANES): for ``solve_supports``.
    """
    columns, k = right.shape
    groups = factors.shape[0]
    for thread in numba.prange(threads):
        first = LANES * (groups * thread // threads)
        waiting = np.arange(first, min(columns, LANES * (groups * (thread + 1) // threads)))
        b, values, slope = np.zeros((k, LANES)), np.zeros((k, LANES)), np.zeros((k, LANES))
        passive, own = np.zeros((k, LANES)), np.zeros(factors.shape[1:])
        slack, left = np.zeros(LANES), np.zeros(LANES, np.int64)
        best = np.zeros(LANES, np.int64)
        patience = np.full(waiting.size, _PATIENCE)
        least = np.full(waiting.size, k + 1)
        open_columns = waiting.size
        # Columns that are not settled are solved again, side by side with others of their kind.
        for turn in range(_ROUNDS):
            still = 0
            for at in range(0, open_columns, LANES):
                count = min(LANES, open_columns - at)
                chosen = waiting[at : at + count]
                # At first, where they belong.
                factor = factors[chosen[0] // LANES] if turn == 0 else own
                _gather(right, chosen, count, b)
                _gather(support, chosen, count, passive)
                slack[:] = 0
                for i in range(k):
                    for lane in range(LANES):
                        slack[lane] = max(slack[lane], relative_slack * abs(b[i, lane]))
                _factor_side_by_side(gram, passive, factor, tiny)
                values[:] = b
                _substitute_side_by_side(factor, values)
                for lane in range(count):
                    left[lane] = patience[chosen[lane] - first]
                    best[lane] = least[chosen[lane] - first]
                _exchange(gram, b, factor, values, slope, passive, slack, left, best)
                _scatter(values, chosen, count, solution)
                for lane in range(count):
                    j = chosen[lane]
                    patience[j - first], least[j - first] = left[lane], best[lane]
                    for i in range(k):
                        support[j, i] = passive[i, lane] > 0
                        solution[j, i] = max(solution[j, i], 0.0)
                    if turn > 0 and left[lane] < 0:
                        for entry in range(own.shape[0]):
                            factors[j // LANES, entry, j % LANES] = own[entry, lane]
                    if left[lane] > 0:
                        waiting[still] = j
                        still += 1
            open_columns = still
        for j in range(first, first + patience.size):
            if patience[j - first] >= 0:
                slackness = relative_slack * np.max(np.abs(right[j]))
                factor, lane = factors[j // LANES], j % LANES
                _one_by_one(gram, right[j], support[j], solution[j], factor, lane, tiny, slackness)


@numba.njit(**_PARALLEL)
def solve_supports(factors, right, out, threads):
    """out (M, k): G_PP^-1 right_P on each row's support, zero off it.

    With the factors kept by ``solve_columns``.
    """
    columns, k = right.shape
    groups = factors.shape[0]
    for thread in numba.prange(threads):
        values = np.zeros((k, LANES))
        for group in range(groups * thread // threads, groups * (thread + 1) // threads):
            chosen = np.arange(group * LANES, min(columns, (group + 1) * LANES))
            _gather(right, chosen, chosen.size, values)
            _substitute_side_by_side(factors[group], values)
            _scatter(values, chosen, chosen.size, out)
