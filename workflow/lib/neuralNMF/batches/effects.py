"""What all groups of a batch's cells share, told from what the batch's composition explains.

The cells are in K groups that are alike, whatever their batch. With y_bkj the sum of gene j over
the n_bk cells of batch b in group k, the model is a main effect of the batch beside one of the
group,

    E y_bkj = n_bk mu_kj C_bj,

so a batch with more cells of a group has more of its genes without any C. Beyond noise of variance
phi E y a group may differ from what the batch's groups share (a state of these cells alone): by a
factor of variance h. The prior of C_bj has mean one and variance t_b. Then C_bj is the mean of the
ratios y_bkj / (n_bk mu_kj), each weighed by its precision 1 / (h + phi / (n_bk mu_kj)), and of one,
weighed by 1 / t_b. All three variances are of the data: t_b is the covariance, over the genes,
between the ratios of different groups of the batch, to which neither noise nor what one group has
alone adds anything. Where a condition is to be left alone, a group has cells of one condition, so
that batches are compared within each; those of conditions that share no batch are not. That is an
empirical Bayes estimate (Efron & Morris 1975) of a main effect.

Efron, B. & Morris, C. (1975). Data analysis using Stein's estimator and its generalizations.
Journal of the American Statistical Association 70, 311.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

_MOST_ITERATIONS, _SETTLED = 50, 1e-4
# Bounds of the variances: no data are without noise, and no factor is certain to be one.
_LEAST_NOISE, _LEAST_SPREAD, _MOST_SPREAD = 1e-3, 1e-5, 1.0
_LEAST_DISAGREEMENT, _MOST_DISAGREEMENT = 1e-3, 1.0
# Before any groups are known, the logarithm of a factor has this standard deviation.
_FIRST_SPREAD = 0.3
_TINY = 1e-12


@dataclass(frozen=True)
class GroupSums:
    """Sums over the cells of each batch and group.

    Attributes
    ----------
    values : ndarray of float64, (B, K, M)
        Of X, after normalisation and transform, before the factors of genes and batches.
    cells : ndarray of float64, (B, K)
        How many cells.
    squares : ndarray of float64, (M,)
        Sums of squares over all of these cells.
    """

    values: np.ndarray
    cells: np.ndarray
    squares: np.ndarray


@dataclass(frozen=True)
class Effects:
    """The factors of some batches, and the variances by which they were shrunk.

    Attributes
    ----------
    factors : ndarray of float64, (B, M)
    spread : ndarray of float64, (B,)
        t_b.
    noise, disagreement : float
        phi and h.
    """

    factors: np.ndarray
    spread: np.ndarray
    noise: float
    disagreement: float


def first_factors(sums: GroupSums) -> np.ndarray:
    """Factors (B, M) before any programs are known: the batches' means over that of all cells.

    ``sums`` has one group, or one for each condition. They take differences of composition for
    effects of the batch, but by them cells of one kind
    come together whose batches differ much; then groups of such cells take these differences back.
    """
    of_groups = sums.cells.sum(axis=0)
    mean = sums.values.sum(axis=0) / np.maximum(of_groups, 1.0)[:, None]
    expected = sums.cells @ mean
    noise = _noise(sums.squares, mean, of_groups) / _FIRST_SPREAD**2
    return _centred((sums.values.sum(axis=1) + noise) / (expected + noise), sums.cells)


def shared_factors(sums: GroupSums, start: np.ndarray) -> Effects:
    """Find the factors that the groups of each batch share.

    Parameters
    ----------
    sums : GroupSums
    start : ndarray, (B, M)
        Factors that are near.

    Returns
    -------
    Effects
        Of each gene the geometric mean over the cells of batches that can be compared is one.
    """
    values, cells = sums.values, sums.cells
    everywhere, of_groups = values.sum(axis=0), cells.sum(axis=0)
    # A group that a batch has alone says nothing of it: of its cells, those of other batches count.
    others = 1.0 - cells / np.maximum(of_groups, 1.0)
    factors, disagreement = start, _FIRST_SPREAD**2
    effects = Effects(start, np.zeros(len(start)), 1.0, disagreement)
    for _ in range(_MOST_ITERATIONS):
        mean = everywhere / np.maximum(cells.T @ factors, _TINY)
        noise = _noise(sums.squares, mean, of_groups)
        new, spread, left = np.empty_like(factors), np.empty(len(factors)), np.zeros(2)
        for batch, (observed, own) in enumerate(zip(values, others, strict=True)):
            expected = cells[batch, :, None] * mean
            weight = _weights(expected, own[:, None], noise, disagreement)
            new[batch], spread[batch] = _shrunk(observed, expected, weight)
            left += _left(observed, expected * factors[batch], weight * expected, own, noise)
        new = _centred(new, cells)
        step, factors = np.abs(np.log(new / factors)).max(), new
        disagreement = float(
            np.clip(left[0] / max(left[1], _TINY), _LEAST_DISAGREEMENT, _MOST_DISAGREEMENT)
        )
        effects = Effects(factors, spread, noise, disagreement)
        if step < _SETTLED:
            break
    return effects


def factors_beside(
    observed: np.ndarray, expected: np.ndarray, noise: float, disagreement: float
) -> np.ndarray:
    """The factors of one batch beside what a model expects of its cells.

    Parameters
    ----------
    observed, expected : ndarray, (K, M)
        Sums over the cells of each group, as they are and by the model.
    noise, disagreement : float
        phi and h, of `shared_factors`.

    Returns
    -------
    ndarray, (M,)
    """
    weight = _weights(expected, np.ones((len(expected), 1)), noise, disagreement)
    return _shrunk(observed, expected, weight)[0]


def _noise(squares: np.ndarray, mean: np.ndarray, cells: np.ndarray) -> float:
    """phi: variance over mean within groups, of means (K, M) over cells (K,); of all genes."""
    left = squares.sum() - float(cells @ np.square(mean).sum(axis=1))
    return max(left / max(float(cells @ mean.sum(axis=1)), _TINY), _LEAST_NOISE)


def _weights(
    expected: np.ndarray, others: np.ndarray, noise: float, disagreement: float
) -> np.ndarray:
    """The weight of a count: of a ratio it is that times ``expected``, its precision."""
    return others / (noise + disagreement * others * expected)


def _shrunk(
    observed: np.ndarray, expected: np.ndarray, weight: np.ndarray
) -> tuple[np.ndarray, float]:
    """Factors (M,) of one batch, and their variance t_b, from arrays of (K, M)."""
    excess, there = weight * (observed - expected), weight * expected
    pairs = excess.sum(axis=0) ** 2 - np.square(excess).sum(axis=0)
    most = there.sum(axis=0) ** 2 - np.square(there).sum(axis=0)
    of_genes = 1.0 / (1.0 + there.sum(axis=0)) ** 2
    spread = float(
        np.clip(of_genes @ pairs / max(of_genes @ most, _TINY), _LEAST_SPREAD, _MOST_SPREAD)
    )
    prior = 1.0 / spread
    return ((weight * observed).sum(axis=0) + prior) / (there.sum(axis=0) + prior), spread


def _left(
    observed: np.ndarray, expected: np.ndarray, there: np.ndarray, others: np.ndarray, noise: float
) -> np.ndarray:
    """Sums whose ratio is h: what is left between the groups of a batch, beyond noise.

    The factor and the groups' means have taken a part of it, by as much as each entry weighs.
    """
    share = there / np.maximum(there.sum(axis=0), _TINY)
    taken = np.clip(others[:, None] * (1.0 - share), 0.0, 1.0)
    of_entries = 1.0 / (noise + expected) ** 2
    square = (observed - expected) ** 2 - taken * noise * expected
    return np.array([(of_entries * square).sum(), (of_entries * taken * expected**2).sum()])


def _centred(factors: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Factors (B, M) with a geometric mean of one over cells (B, K), gene by gene.

    Over the cells of all batches that can be compared: those that a chain of common groups joins.
    """
    logs, own = np.log(factors), cells.sum(axis=1)
    joined = sp.csr_matrix(cells > 0)
    _, parts = connected_components(joined @ joined.T, directed=False)
    for part in np.unique(parts):
        inside = parts == part
        logs[inside] -= own[inside] / own[inside].sum() @ logs[inside]
    return np.exp(logs)
