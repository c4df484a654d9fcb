"""A whole epoch's work on the cells in one pass over the non-zeros.

The gradient of a cell's row of Theta_1 needs that cell alone, and so does the step that it takes;
so the sums that the next evaluation needs, X^T Theta_1 and Theta_1^T Theta_1, are taken of the
moved row while its non-zeros are still in the cache.
"""

import numba
import numpy as np

from neuralNMF.kernels.descent import add_combination, descend_tile
from neuralNMF.kernels.gram import add_gram
from neuralNMF.kernels.sparse import flush_sums, push_row, row_times
from neuralNMF.kernels.tiles import TILE, take_tile

_OPTIONS = {"fastmath": True, "error_model": "numpy", "cache": True}


@numba.njit(**_OPTIONS)
def _move_range(first, past, cells, step, partial, sums, gram, flush, blocks):
    """`move_rows` for the rows ``first`` to ``past``, into one thread's sums."""
    indptr, indices, data, scale, theta = cells
    right, bend, curvature, sweeps, momentum, proposal, trial = step
    rank = theta.shape[1]
    bend, curvature = bend.astype(theta.dtype), curvature.astype(theta.dtype)
    origin = indptr[0]
    zero = theta.dtype.type(0)
    total = np.zeros(right.shape[1], theta.dtype)
    row = np.zeros(right.shape[1], theta.dtype)
    x = np.zeros((rank, TILE), theta.dtype)
    linear = np.zeros((rank, TILE), theta.dtype)
    room = np.zeros(TILE, theta.dtype)
    wide = np.zeros((rank, TILE))
    since = 0
    while first < past:
        count = min(TILE, past - first)
        take_tile(theta, first, count, x)
        for lane in range(count):
            i = first + lane
            start, end = indptr[i] - origin, indptr[i + 1] - origin
            row_times(start, end, indices, data, right, total, blocks)
            for q in range(rank):
                linear[q, lane] = scale[i] * total[q]
        for lane in range(count, TILE):
            for q in range(rank):
                linear[q, lane] = 0
        for q in range(rank):
            add_combination(x, bend, q, linear, q * TILE)
        descend_tile(x, linear, curvature, sweeps, room)
        for lane in range(count):
            i = first + lane
            for q in range(rank):
                new = x[q, lane]
                beyond = new + momentum * (new - trial[i, q])
                beyond = beyond if beyond > zero else zero
                proposal[i, q] = new
                trial[i, q] = beyond
                wide[q, lane] = beyond
                row[q] = scale[i] * beyond
            start, end = indptr[i] - origin, indptr[i + 1] - origin
            push_row(start, end, indices, data, row, partial, blocks)
        for lane in range(count, TILE):
            for q in range(rank):
                wide[q, lane] = 0
        add_gram(wide, gram)
        first += count
        since += count
        if since >= flush or first == past:
            flush_sums(partial, sums)
            since = 0


@numba.njit(parallel=True, **_OPTIONS)
def move_rows(
    borders,
    indptr,
    indices,
    data,
    scale,
    theta,
    right,
    bend,
    curvature,
    sweeps,
    momentum,
    proposal,
    trial,
    partial,
    sums,
    grams,
    flush,
    blocks,
):
    """Moves every row of theta (N, k) and sums over the moved rows.

    Of each row x_i (non-zeros), with its scale s_i:

    linear_i = s_i x_i right + theta_i bend; proposal_i = `descend_tile` from theta_i with it;
    trial_i = max(0, proposal_i + momentum (proposal_i - trial_i)), in place of ``trial``;
    sums += x_i' s_i trial_i; grams += trial_i' trial_i.

    Shape: right (M, width), proposal, trial (N, k), all of theta's type; partial (threads, M,
    width), zeros; bend, curvature (k, k), sums (threads, M, k), grams (threads, k, k) float64.
    The other arguments are those of `rows_transposed_times`.
    """
    threads = borders.shape[0] - 1
    cells = (indptr, indices, data, scale, theta)
    step = (right, bend, curvature, sweeps, momentum, proposal, trial)
    if threads == 1:
        _move_range(0, borders[1], cells, step, partial[0], sums[0], grams[0], flush, blocks)
        return
    for t in numba.prange(threads):
        first, past = borders[t], borders[t + 1]
        _move_range(first, past, cells, step, partial[t], sums[t], grams[t], flush, blocks)
