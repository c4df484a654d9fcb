"""The usage that explains a cell's counts best by given programs, to its maximum, cell by cell.

Of counts x (M,) and programs r_l (M, k), one for each of some layers, the usage t (k,) minimises

    f(t) = sum_l w_l sum_j [lambda_lj - x_j log(lambda_lj + floor)],  lambda_lj = t . r_lj,  t >= 0,

by Newton's method: a few steps of EM, then the minimum over t >= 0 of the quadratic model at t
(`active_set`), as far along the way there as f falls enough.
"""

import math

import numpy as np

from neuralNMF.kernels.active_set import active_set
from neuralNMF.kernels.compiled import compiled, inlined
from neuralNMF.kernels.vectors import LANES, add_scaled, dot

# Of EM before Newton's steps, where nothing is known of the usage.
_EM_STEPS = 4
_NEWTON_STEPS = 100
_HALVINGS = 40
# A whole step is the last one where f falls by less than this for each count: what is left then is
# about the square of the step, and f itself is known no better than by 1e-16 of the counts.
_LAST_FALL = 1e-10
_DEPENDENT = 1e-14


@inlined
def _pad(values, padded):
    """The first of padded (width,) = values (k,), one by one: a slice takes seconds to compile."""
    for t in range(values.shape[0]):
        padded[t] = values[t]


@inlined
def _set_rates(columns, programs, floor, usage, rates, blocks):
    """rates (L, n) = floor + usage . programs of the columns."""
    genes, width = programs.shape[1], programs.shape[2]
    for layer in range(programs.shape[0]):
        for p in range(columns.shape[0]):
            row = (layer * genes + np.int64(columns[p])) * width
            rates[layer, p] = floor + dot(blocks, usage, 0, programs, row)


@inlined
def _set_pull(columns, x, programs, weights, rates, pull, blocks):
    """pull (width,) = sum of w x r / lambda: what the counts ask of each program."""
    genes, width = programs.shape[1], programs.shape[2]
    pull[:] = 0
    for layer in range(programs.shape[0]):
        for p in range(columns.shape[0]):
            row = (layer * genes + np.int64(columns[p])) * width
            ratio = weights[layer] * x[p] / rates[layer, p]
            for q in range(0, len(blocks) * LANES, LANES):
                add_scaled(pull, q, programs, row + q, ratio)


@inlined
def _set_curvature(columns, x, programs, weights, rates, inside, hessian):
    """hessian (k, width) = sum of w x r r' / lambda^2 over the programs inside, 0 for the others.

    Rows are summed as far as the diagonal, by whole vectors, and then turned over it.
    """
    genes, width = programs.shape[1], programs.shape[2]
    hessian[:] = 0
    for layer in range(programs.shape[0]):
        for p in range(columns.shape[0]):
            row = (layer * genes + np.int64(columns[p])) * width
            bend = weights[layer] * x[p] / rates[layer, p] / rates[layer, p]
            for a in range(inside.shape[0]):
                if inside[a]:
                    part = bend * programs[layer, columns[p], a]
                    for q in range(0, a + 1, LANES):
                        add_scaled(hessian, a * width + q, programs, row + q, part)
    for a in range(inside.shape[0]):
        for b in range(a + 1):
            if not (inside[a] and inside[b]):
                hessian[a, b] = 0
            hessian[b, a] = hessian[a, b]


@inlined
def _value(x, weights, rates, along, step):
    """-sum of w x log(rate + step along) over layers and counts."""
    total = 0.0
    for layer in range(rates.shape[0]):
        for p in range(x.shape[0]):
            total -= weights[layer] * x[p] * math.log(rates[layer, p] + step * along[layer, p])
    return total


@inlined
def _to_unit_diagonal(hessian, slope, usage, scale, right):
    """Scale hessian (k, k) in place; right (k,) = scaled (hessian usage - slope)."""
    k = usage.shape[0]
    for a in range(k):
        right[a] = -slope[a]
        for b in range(k):
            right[a] += hessian[a, b] * usage[b]
    for a in range(k):
        scale[a] = 1.0 / math.sqrt(hessian[a, a]) if hessian[a, a] > 0 else 0.0
    for a in range(k):
        right[a] *= scale[a]
        for b in range(k):
            hessian[a, b] *= scale[a] * scale[b]


@compiled
def poisson_usage_rows(
    first, past, indptr, indices, data, programs, weights, mass, floor, warm, usage, blocks
):
    """usage (n, k) of the rows ``first`` to ``past`` of counts in CSR.

    Shape: programs (L, M, width), rows padded to whole vectors (``vectors.LANES``), of which
    ``blocks`` has an entry each; weights (L,); mass (k,) = sum of w over layers and genes of
    programs. ``warm``: usage holds where to start from. A program without mass is not used.
    """
    k, width = mass.shape[0], programs.shape[2]
    slope, right, scale = np.zeros(k), np.zeros(k), np.zeros(k)
    values, order, best = np.zeros(k), np.zeros(k, np.int64), np.zeros(k)
    hessian, lower = np.zeros((k, width)), np.zeros((k, k))
    # Padded as the programs are.
    pull, padded = np.zeros(width), np.zeros(width)
    inside = np.zeros(k, np.bool_)
    for i in range(first, past):
        columns, x = indices[indptr[i] : indptr[i + 1]], data[indptr[i] : indptr[i + 1]]
        total = x.sum()
        now = usage[i]
        if not total > 0:
            # Not finite, where the counts are not.
            now[:] = total
            continue
        rates = np.empty((programs.shape[0], x.shape[0]))
        along = np.zeros_like(rates)
        if not warm or not now.sum() > 0:
            for t in range(k):
                now[t] = total * weights.sum() / mass.sum()
            for _ in range(_EM_STEPS):
                _pad(now, padded)
                _set_rates(columns, programs, floor, padded, rates, blocks)
                _set_pull(columns, x, programs, weights, rates, pull, blocks)
                for t in range(k):
                    now[t] *= pull[t] / mass[t] if mass[t] > 0 else 0.0
        for t in range(k):
            if not mass[t] > 0:
                now[t] = 0
        for _ in range(_NEWTON_STEPS):
            _pad(now, padded)
            _set_rates(columns, programs, floor, padded, rates, blocks)
            _set_pull(columns, x, programs, weights, rates, pull, blocks)
            for t in range(k):
                slope[t] = mass[t] - pull[t]
                inside[t] = mass[t] > 0 and (now[t] > 0 or slope[t] < 0)
            _set_curvature(columns, x, programs, weights, rates, inside, hessian)
            _to_unit_diagonal(hessian, slope, now, scale, right)
            active_set(hessian, right, order, lower, values, best, _DEPENDENT, 0.0)
            falls = 0.0
            for t in range(k):
                best[t] = scale[t] * best[t] - now[t] if inside[t] else 0.0
                falls += slope[t] * best[t]
            if not falls < -_LAST_FALL * total:
                for t in range(k):
                    now[t] = max(0.0, now[t] + best[t])
                break
            _pad(best, padded)
            _set_rates(columns, programs, 0.0, padded, along, blocks)
            pushed = 0.0
            for t in range(k):
                pushed += mass[t] * best[t]
            before, step = _value(x, weights, rates, along, 0.0), 1.0
            for _ in range(_HALVINGS):
                after = _value(x, weights, rates, along, step) + step * pushed
                if after <= before + 1e-4 * step * falls:
                    break
                step *= 0.5
            else:
                break  # as low as rounding lets it be
            for t in range(k):
                now[t] = max(0.0, now[t] + step * best[t])
