"""Groups of programs of several fits that are one and the same, by their usage of the same cells.

As the consensus of cNMF (Kotliar et al. 2019), with two differences: the fits are of random halves
of the cells, not of all cells from random starts, so that a group is a program that other cells
have too; and what is alike is the usage, since genes that all programs share make all of them
alike.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from neuralNMF.evidence.matching import unit_columns

# Programs belong together whose usage correlates so much on average.
_ALIKE = 0.7
# A program counts as found again by this share of the fits.
_FOUND = 0.6


def grouped(usages: Sequence[np.ndarray], programs: Sequence[np.ndarray], most: int) -> np.ndarray:
    """Find the programs that many fits have in common.

    Parameters
    ----------
    usages : sequence of ndarray, (n, k_r) each
        Of every fit, of the same n cells.
    programs : sequence of ndarray, (k_r, M) each
        Theirs, in counts; rows at sum one, or zero for a program that no cell uses.
    most : int
        Groups, at the most.

    Returns
    -------
    ndarray of float64, (k, M)
        The median of each group's members, rows at sum one: of the groups that are found by most
        of the fits, the most found first; if none is, of the one that is found most often.
        Of 6 fits with as many programs, each in 4 of them, there are more groups than a fit has
        programs: the first ``most`` of them are kept.

    References
    ----------
    Kotliar, D. et al. (2019). Identifying gene expression programs of cell-type identity and
    cellular activity with single-cell RNA-Seq. eLife 8, e43803.
    """
    fit = np.repeat(np.arange(len(usages)), [usage.shape[1] for usage in usages])
    every = np.concatenate(programs)
    units = np.concatenate([unit_columns(usage) for usage in usages], axis=1)
    alive = every.any(axis=1) & units.any(axis=0)
    fit, every, units = fit[alive], every[alive], units[:, alive]
    group = _labels(units)
    of_groups = [np.flatnonzero(group == label) for label in np.unique(group)]
    found = np.array([np.unique(fit[members]).size for members in of_groups]) / len(usages)
    order = np.argsort(-found, kind="stable")
    kept = order[found[order] >= _FOUND]
    kept = kept[:most] if kept.size else order[:1]
    medians = np.stack([np.median(every[of_groups[label]], axis=0) for label in kept])
    # A median of programs that share no gene is zero: their mean is not.
    empty = medians.sum(axis=1) == 0
    for row in np.flatnonzero(empty):
        medians[row] = every[of_groups[kept[row]]].mean(axis=0)
    return medians / medians.sum(axis=1, keepdims=True)


def _labels(units: np.ndarray) -> np.ndarray:
    """The group of every program, by average linkage of the correlations of their usage."""
    # Only here: every training job imports this module, and most of the fits are no consensus.
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    if units.shape[1] == 1:
        return np.ones(1, dtype=int)
    distances = np.clip(1.0 - units.T @ units, 0.0, 2.0)
    np.fill_diagonal(distances, 0.0)
    tree = linkage(squareform(distances, checks=False), "average")
    return fcluster(tree, 1.0 - _ALIKE, "distance")
