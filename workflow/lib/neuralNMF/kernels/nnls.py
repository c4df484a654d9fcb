"""Non-negative least squares from normal equations, column by column, and its derivative.

minimise 1/2 s'Gs - s'b over s >= 0, for one G (k, k) and many b. Each column starts from the
support it had last time. Block principal pivoting (Kim & Park 2011, SIAM J. Sci. Comput. 33(6))
settles nearly all columns; one that has not settled after a few exchanges, which happens for nearly
dependent columns, is solved by the active-set method of Lawson & Hanson (1974), which always ends.
A variable that depends on the others of its support (its pivot is at most ``tiny``) is left at
zero.

G is expected with a unit diagonal (or a zero row and column for a dead factor).
"""

import numba
import numpy as np

_SERIAL = {"error_model": "numpy", "cache": True}
_PARALLEL = {**_SERIAL, "parallel": True}


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
def _factor_unless_held(gram, order, count, lower, tiny, held):
    """`_factor`, spared where ``lower`` still is the factor of the same support.

    Neighbouring columns often share theirs: where no entry is zero, all do.
    """
    same = held[-1] == count
    for a in range(count):
        same = same and held[a] == order[a]
    if same:
        return count
    wanted = count
    count = _factor(gram, order, count, lower, tiny)
    held[-1] = wanted if count == wanted else -1
    held[:count] = order[:count]
    return count


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
def _pivoting(gram, right, passive, order, lower, values, held, tiny, slack, rounds):
    """Block principal pivoting from ``passive``.

    Returns the size of the support, -1 if unsettled.
    """
    k = right.shape[0]
    best = k + 1
    patience = 3
    for _ in range(rounds):
        count = 0
        for i in range(k):
            if passive[i]:
                order[count] = i
                count += 1
        kept = _factor_unless_held(gram, order, count, lower, tiny, held)
        _substitute(lower, order, kept, right, values)
        wrong = 0
        for i in range(k):
            passive[i] = False
        for a in range(kept):
            if values[a] > 0:
                passive[order[a]] = True
            else:
                wrong += 1
        inside = 0
        for i in range(k):
            if inside < kept and order[inside] == i:
                inside += 1
            elif gram[i, i] > 0 and _descent(gram, right, order, kept, values, i) > slack:
                passive[i] = True
                wrong += 1
        if wrong == 0:
            return kept
        if wrong < best:
            best = wrong
            patience = 3
        else:
            patience -= 1
            if patience == 0:
                return -1
    return -1


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


@numba.njit(**_PARALLEL)
def solve_columns(gram, right, support, solution, factors, tiny, relative_slack, threads):
    """Solves every row of ``right`` (M, k) in place of ``solution`` (M, k).

    ``support`` (M, k) bool: where to start from, and on return where the solution is positive.
    ``factors`` (M, k (k + 1) / 2): Cholesky factor of each support, packed by rows, for
    ``solve_supports``.
    """
    columns, k = right.shape
    for thread in numba.prange(threads):
        order = np.zeros(k + 1, np.int64)
        lower = np.zeros((k + 1, k + 1))
        values = np.zeros(k + 1)
        held = np.full(k + 2, -1)
        for j in range(columns * thread // threads, columns * (thread + 1) // threads):
            b = right[j]
            slack = relative_slack * np.max(np.abs(b))
            count = _pivoting(gram, b, support[j], order, lower, values, held, tiny, slack, 30)
            if count < 0:
                held[-1] = -1
                count = _active_set(gram, b, order, lower, values, solution[j], tiny, slack)
            solution[j] = 0
            support[j] = False
            packed = 0
            for a in range(count):
                solution[j, order[a]] = max(values[a], 0.0)
                support[j, order[a]] = True
                for c in range(a + 1):
                    factors[j, packed] = lower[a, c]
                    packed += 1


@numba.njit(**_PARALLEL)
def solve_supports(factors, support, right, out, threads):
    """out (M, k): G_PP^-1 right_P on each row's support, zero off it.

    With the factors kept by ``solve_columns``.
    """
    columns, k = right.shape
    for thread in numba.prange(threads):
        order = np.zeros(k, np.int64)
        value = np.zeros(k)
        for j in range(columns * thread // threads, columns * (thread + 1) // threads):
            count = 0
            for i in range(k):
                if support[j, i]:
                    order[count] = i
                    count += 1
            packed = factors[j]
            for a in range(count):
                row = a * (a + 1) // 2
                total = right[j, order[a]]
                for c in range(a):
                    total -= packed[row + c] * value[c]
                value[a] = total / packed[row + a]
            for a in range(count - 1, -1, -1):
                total = value[a]
                for c in range(a + 1, count):
                    total -= packed[c * (c + 1) // 2 + a] * value[c]
                value[a] = total / packed[a * (a + 1) // 2 + a]
            out[j] = 0
            for a in range(count):
                out[j, order[a]] = value[a]
