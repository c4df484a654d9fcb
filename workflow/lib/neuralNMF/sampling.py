"""A sample of the cells for what cannot hold or show them all."""

import numpy as np

from neuralNMF.errors import InputError


def sample_cells(
    cells: int,
    max_cells: int,
    *,
    rng: np.random.Generator,
    groups: np.ndarray | None = None,
) -> np.ndarray:
    """Draw some of the cells: all of them if there are no more than `max_cells`.

    Parameters
    ----------
    cells : int
        How many there are.
    max_cells : int
        How many to draw at most.
    rng : numpy.random.Generator
        Draws.
    groups : ndarray of int or None, (cells,)
        Each cell's, from 0 on; drawn in their proportions, so that dense places stay dense, and
        each at least once where `max_cells` leaves room. None: all cells are one group.

    Returns
    -------
    ndarray of int
        Numbers of the drawn cells, rising.

    Raises
    ------
    InputError
        `max_cells` is below 1.
    """
    if max_cells < 1:
        raise InputError(f"max_cells must be at least 1, not {max_cells}.")
    if cells <= max_cells:
        return np.arange(cells)
    if groups is None:
        return np.sort(rng.choice(cells, size=max_cells, replace=False))
    quotas = _quotas(np.bincount(groups), max_cells)
    picked = [
        rng.choice(np.flatnonzero(groups == group), size=quota, replace=False)
        for group, quota in enumerate(quotas)
        if quota
    ]
    return np.sort(np.concatenate(picked))


def _quotas(counts: np.ndarray, total: int) -> np.ndarray:
    """Split `total` in the proportion of `counts`, at least 1 each where that leaves room."""
    exact = counts * (total / counts.sum())
    quotas = np.maximum(np.floor(exact).astype(int), (counts > 0).astype(int))
    while quotas.sum() > total:  # more groups than fit: the largest give way
        quotas[np.argmax(quotas)] -= 1
    for group in np.argsort(quotas - exact, kind="stable")[: total - quotas.sum()]:
        quotas[group] += 1
    return quotas
