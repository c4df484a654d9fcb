"""The step of Theta_1 and the sums over the moved cells, in one pass over the non-zeros of X.

The gradient of a cell's row of Theta_1 needs that cell alone, and so does the step that it takes;
so the sums that the next evaluation needs, X^T Theta_1 and Theta_1^T Theta_1, are taken of the
moved row while its non-zeros are still in the cache.
"""

import numpy as np

from neuralNMF.kernels.compiled import compiled
from neuralNMF.kernels.descent import add_combination, descend_tile
from neuralNMF.kernels.gram import add_gram
from neuralNMF.kernels.sparse import push_row, row_times
from neuralNMF.kernels.vectors import TILE, take_tile


@compiled
def move_rows(
    first,
    past,
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
    cross,
    gram,
    blocks,
):
    """Move the rows ``first`` to ``past`` of theta (N, k), and sum over the moved rows.

    Of each row x_i (non-zeros), with its scale s_i:

    linear_i = s_i x_i right + theta_i bend; proposal_i = `descend_tile` from theta_i with it;
    trial_i = max(0, proposal_i + momentum (proposal_i - trial_i)), in place of ``trial``;
    cross += x_i' s_i trial_i; gram += trial_i' trial_i.

    Shape: right, cross (M, width), proposal, trial (N, k), all of theta's type; bend, curvature,
    gram (k, k) float64. The other arguments are those of `rows_transposed_times`.
    """
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
                beyond = zero if beyond < zero else beyond
                proposal[i, q] = new
                trial[i, q] = beyond
                wide[q, lane] = beyond
                row[q] = scale[i] * beyond
            start, end = indptr[i] - origin, indptr[i + 1] - origin
            push_row(start, end, indices, data, row, cross, blocks)
        for lane in range(count, TILE):
            for q in range(rank):
                wide[q, lane] = 0
        add_gram(wide, gram)
        first += count
