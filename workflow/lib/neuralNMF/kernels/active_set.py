"""The active-set method of Lawson & Hanson (1974) from normal equations, for one column.

It always ends, also where variables depend on each other: one that depends on the others of its
support (its pivot is at most ``tiny``) is left at zero.
"""

import numba
import numpy as np

_OPTIONS = {"error_model": "numpy", "cache": True}


@numba.njit(**_OPTIONS)
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


@numba.njit(**_OPTIONS)
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


@numba.njit(**_OPTIONS)
def _descent(gram, right, order, count, values, variable):
    """Negative gradient of one variable: b_i - G_iP s_P."""
    value = right[variable]
    for a in range(count):
        value -= gram[variable, order[a]] * values[a]
    return value


@numba.njit(**_OPTIONS)
def _drop(order, solution, count):
    """Takes the variables whose value is zero out of the support, keeping their sequence."""
    kept = 0
    for a in range(count):
        if solution[order[a]] > 0:
            order[kept] = order[a]
            kept += 1
    return kept


@numba.njit(**_OPTIONS)
def active_set(gram, right, order, lower, values, solution, tiny, slack):
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
