"""Non-negative least squares of one column by the active-set method of Lawson & Hanson (1974).

Minimises 1/2 s'Gs - s'b over s >= 0 from the normal equations G (k, k), b (k,). Slower than block
pivoting (`nnls`), but it always ends, also where variables depend on each other. A variable that
depends on the others of its support (its pivot is at most ``tiny``) takes the place of one of them
where the objective falls that way, and is left at zero otherwise.
"""

import numpy as np

from neuralNMF.kernels.compiled import inlined


@inlined
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


@inlined
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


@inlined
def _descent(gram, right, order, count, values, variable):
    """Negative gradient of one variable: b_i - G_iP s_P."""
    value = right[variable]
    for a in range(count):
        value -= gram[variable, order[a]] * values[a]
    return value


@inlined
def _enumerate(inside, order):
    """Set ``order`` to the variables of the support, rising; return how many there are."""
    count = 0
    for i in range(inside.shape[0]):
        if inside[i]:
            order[count] = i
            count += 1
    return count


@inlined
def _kept(gram, inside, order, lower, solution, tiny):
    """Factorise the support; what has come to depend on the rest leaves it. Returns its size.

    A part of an independent support is independent; rounding may say otherwise at the threshold.
    """
    whole = _enumerate(inside, order)
    count = _factor(gram, order, whole, lower, tiny)
    if count < whole:
        inside[:] = False
        for a in range(count):
            inside[order[a]] = True
        for i in range(inside.shape[0]):
            if not inside[i]:
                solution[i] = 0
    return count


@inlined
def _share(start, end):
    """Of the way from ``start`` >= 0 to ``end`` <= 0, the share that leads to zero."""
    return start / (start - end) if start > 0 else 0.0


@inlined
def _towards(order, count, values, solution, inside):
    """Go from ``solution`` towards ``values`` as far as all stay above zero.

    A variable that reaches zero leaves the support. Returns whether any did.
    """
    step, stopped = 1.0, False
    for a in range(count):
        if values[a] <= 0:
            step = min(step, _share(solution[order[a]], values[a]))
            stopped = True
    for a in range(count):
        i = order[a]
        # Not by where the step leads: rounding may leave it a hair above zero, and all where it is.
        if values[a] <= 0 and _share(solution[i], values[a]) <= step:
            solution[i] = 0
            inside[i] = False
        else:
            solution[i] += step * (values[a] - solution[i])
    return stopped


@inlined
def _enters(gram, right, inside, entering, order, lower, values, tiny):
    """Whether a variable is independent of the support and would be positive in it."""
    inside[entering] = True
    count = _enumerate(inside, order)
    enters = _factor(gram, order, count, lower, tiny) == count
    if enters:
        _substitute(lower, order, count, right, values)
        for a in range(count):
            enters = enters and (order[a] != entering or values[a] > 0)
    inside[entering] = enters
    return enters


@inlined
def _replaces(gram, inside, entering, slope, order, lower, values, solution, tiny):
    """Let a variable push out one that it depends on; returns whether it did.

    Along v, which is 1 at ``entering`` and -G_PP^-1 G_Pe on the support P, the objective falls by
    ``slope`` and hardly bends: the way leads to where the first variable reaches zero.
    """
    count = _enumerate(inside, order)
    if _factor(gram, order, count, lower, tiny) < count:
        return False
    _substitute(lower, order, count, gram[entering], values)
    bend, step, first = gram[entering, entering], np.inf, -1
    for a in range(count):
        bend -= values[a] * gram[entering, order[a]]
        if values[a] > 0 and solution[order[a]] < step * values[a]:
            step, first = solution[order[a]] / values[a], a
    if first < 0 or step * bend > slope:
        return False
    leaving = order[first]
    way = values[:count].copy()
    inside[entering], inside[leaving] = True, False
    whole = _enumerate(inside, order)
    if _factor(gram, order, whole, lower, tiny) < whole:
        inside[entering], inside[leaving] = False, True
        return False
    a = 0
    for i in range(inside.shape[0]):
        if inside[i] and i != entering or i == leaving:
            solution[i] = max(solution[i] - step * way[a], 0.0)
            a += 1
    solution[entering], solution[leaving] = step, 0.0
    return True


@inlined
def active_set(gram, right, order, lower, values, solution, tiny, slack):
    """Solve for one column, from the empty support; return the size of the support.

    Shape: gram (k, k), right (k,). Room to work in, and results: order (k,) the support's
    variables, rising; lower (k, k) its Cholesky factor; values (k,) the solution of its variables
    in their order; solution (k,) is overwritten. ``slack``: the least negative gradient with which
    a variable enters.

    The support is always factorised in rising order, as the derivative expects it: in another order
    another variable would count as dependent.
    """
    k = right.shape[0]
    solution[:] = 0
    inside, barred = np.zeros(k, np.bool_), np.zeros(k, np.bool_)
    count = 0
    for _ in range(30 * k):
        for a in range(count):
            values[a] = solution[order[a]]
        entering, steepest = -1, slack
        for i in range(k):
            if not inside[i] and not barred[i] and gram[i, i] > 0:
                slope = _descent(gram, right, order, count, values, i)
                if slope > steepest:
                    entering, steepest = i, slope
        if entering < 0:
            break
        if not _enters(gram, right, inside, entering, order, lower, values, tiny) and not _replaces(
            gram, inside, entering, steepest, order, lower, values, solution, tiny
        ):
            barred[entering] = True
            count = _enumerate(inside, order)
            continue
        barred[:] = False
        count = _kept(gram, inside, order, lower, solution, tiny)
        _substitute(lower, order, count, right, values)
        while _towards(order, count, values, solution, inside):
            count = _kept(gram, inside, order, lower, solution, tiny)
            _substitute(lower, order, count, right, values)
    count = _kept(gram, inside, order, lower, solution, tiny)
    _substitute(lower, order, count, right, values)
    return count
