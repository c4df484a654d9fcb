"""Non-negative least squares from normal equations, column by column, and its derivative.

Each column s minimises 1/2 s'Gs - s'b over s >= 0, with one G (k, k) for all columns and a b (k,)
of its own. It starts from the support it had last time. Block principal pivoting (Kim & Park 2011,
SIAM J. Sci. Comput. 33(6)) settles nearly all columns, ``LANES`` of them side by side
(`side_by_side`); a column that has not settled after a few exchanges, which happens for nearly
dependent variables, is left to the active-set method (`active_set`).

Within, G has a unit diagonal (or a zero row and column for a dead factor): the answer does not
depend on a factor's units, and one tolerance fits all. ``scale`` (k,) is what it was multiplied by
from both sides.
"""

import numpy as np

from neuralNMF.kernels.active_set import active_set
from neuralNMF.kernels.compiled import compiled, inlined
from neuralNMF.kernels.side_by_side import exchange, factorise, substitute
from neuralNMF.kernels.vectors import LANES

_ROUNDS = 30
_PATIENCE = 3


@compiled
def unit_diagonal(gram):
    """Scale gram (k, k) to a unit diagonal; returns the scale (k,) and the scaled matrix."""
    k = gram.shape[0]
    scale, scaled = np.zeros(k), np.empty((k, k))
    for i in range(k):
        if not gram[i, i] <= 0:
            scale[i] = 1.0 / np.sqrt(gram[i, i])
    for i in range(k):
        for j in range(k):
            scaled[i, j] = gram[i, j] * scale[i] * scale[j]
    return scale, scaled


@inlined
def _take(rows, scale, chosen, lanes):
    """lanes (k, LANES) = the chosen rows (M, k), scaled, side by side; 0 where none is."""
    for lane in range(chosen.size):
        j = chosen[lane]
        for i in range(lanes.shape[0]):
            lanes[i, lane] = rows[j, i] * scale[i]
    for lane in range(chosen.size, LANES):
        lanes[:, lane] = 0


@inlined
def _copy(lanes, target):
    """target (k, LANES) = lanes, number by number: to compile ``target[:] =`` takes 5 seconds."""
    for i in range(lanes.shape[0]):
        for lane in range(LANES):
            target[i, lane] = lanes[i, lane]


@inlined
def _give(values, passive, scale, slack, chosen, solution, support):
    """Write solutions and supports back to their rows, without what rounding left below zero.

    A column whose right side is not finite ends without support; its slack says so (x - x is not 0
    there), and so does its solution.
    """
    for lane in range(chosen.size):
        j = chosen[lane]
        for i in range(values.shape[0]):
            value = 0.0 if values[i, lane] < 0 else values[i, lane]
            solution[j, i] = value * scale[i] + (slack[lane] - slack[lane])
            support[j, i] = passive[i, lane] > 0


@inlined
def _set_slack(right, relative, slack):
    """slack (LANES,) = ``relative`` times the largest entry of each column of right (k, LANES)."""
    slack[:] = 0
    for i in range(right.shape[0]):
        for lane in range(LANES):
            size = relative * abs(right[i, lane])
            if size > slack[lane] or size != size:
                slack[lane] = size


@compiled
def solve_columns(
    first, last, gram, right, scale, support, solution, factors, stubborn, tiny, relative_slack
):
    """Solve the rows ``first`` to ``last`` of ``right`` (M, k) into ``solution`` (M, k).

    ``gram`` and ``scale`` come from `unit_diagonal`; ``first`` is a multiple of LANES. ``support``
    (M, k) bool is where to start from, and on return where the solution is positive. ``factors``
    (ceil(M / LANES), k (k + 1) / 2, LANES) is filled for `solve_supports`; where it is empty, none
    are kept. ``stubborn`` (M,) bool marks the rows that have not settled and are left to
    `solve_one_by_one`.
    """
    k = gram.shape[0]
    keeps = factors.shape[0] > 0
    b, values, passive = np.zeros((k, LANES)), np.zeros((k, LANES)), np.zeros((k, LANES))
    temporary, ones = np.zeros((k * (k + 1) // 2, LANES)), np.ones(k)
    slack, wrong = np.zeros(LANES), np.zeros(LANES)
    # Rounds that a column still has without getting nearer; -1 once it is settled.
    patience = np.full(last - first, _PATIENCE)
    least = np.full(last - first, k + 1.0)
    waiting = np.arange(first, last)
    open_columns = waiting.size
    # Columns that are not settled are solved again, side by side with others of their kind.
    for turn in range(_ROUNDS):
        still = 0
        for at in range(0, open_columns, LANES):
            chosen = waiting[at : min(at + LANES, open_columns)]
            # At first, where they belong.
            in_place = keeps and turn == 0
            factor = factors[chosen[0] // LANES] if in_place else temporary
            _take(right, scale, chosen, b)
            _take(support, ones, chosen, passive)
            _set_slack(b, relative_slack, slack)
            factorise(gram, passive, factor, tiny)
            _copy(b, values)
            substitute(factor, values)
            exchange(gram, b, factor, values, passive, slack, wrong)
            _give(values, passive, scale, slack, chosen, solution, support)
            for lane in range(chosen.size):
                j = chosen[lane]
                if wrong[lane] == 0:
                    patience[j - first] = -1
                    if keeps and not in_place:
                        for entry in range(temporary.shape[0]):
                            factors[j // LANES, entry, j % LANES] = temporary[entry, lane]
                    continue
                if wrong[lane] < least[j - first]:
                    least[j - first] = wrong[lane]
                    patience[j - first] = _PATIENCE
                else:
                    patience[j - first] -= 1
                if patience[j - first] > 0:
                    waiting[still] = j
                    still += 1
        open_columns = still
    for j in range(first, last):
        stubborn[j] = patience[j - first] >= 0


@compiled
def solve_supports(first, last, factors, right, scale, out):
    """out (M, k) = G_PP^-1 right_P on each row's support P, zero off it, for some rows.

    These are the groups ``first`` to ``last`` of ``LANES`` rows each. ``factors`` and ``scale`` are
    those of `solve_columns`; right (M, k).
    """
    columns, k = right.shape
    values = np.zeros((k, LANES))
    for group in range(first, last):
        chosen = np.arange(group * LANES, min(columns, (group + 1) * LANES))
        _take(right, scale, chosen, values)
        substitute(factors[group], values)
        for lane in range(chosen.size):
            for i in range(k):
                out[chosen[lane], i] = values[i, lane] * scale[i]


@compiled
def solve_one_by_one(chosen, gram, right, scale, support, solution, factors, tiny, relative_slack):
    """`solve_columns` by the active-set method, for the rows of ``right`` numbered in chosen (n,).

    The other arguments are those of `solve_columns`.
    """
    k = gram.shape[0]
    keeps = factors.shape[0] > 0
    order = np.zeros(k, np.int64)
    lower = np.zeros((k, k))
    values, b, column = np.zeros(k), np.zeros(k), np.zeros(k)
    for j in chosen:
        for i in range(k):
            b[i] = right[j, i] * scale[i]
        slack = relative_slack * np.max(np.abs(b))
        count = active_set(gram, b, order, lower, values, column, tiny, slack)
        for i in range(k):
            solution[j, i] = 0
            support[j, i] = False
        for a in range(count):
            i = order[a]
            solution[j, i] = max(values[a], 0.0) * scale[i]
            support[j, i] = values[a] > 0
        if not keeps:
            continue
        factor = factors[j // LANES]
        lane = j % LANES
        for entry in range(factor.shape[0]):
            factor[entry, lane] = 0
        for a in range(count):
            row = order[a] * (order[a] + 1) // 2
            for c in range(a):
                factor[row + order[c], lane] = lower[a, c]
            factor[row + order[a], lane] = 1.0 / lower[a, a]
