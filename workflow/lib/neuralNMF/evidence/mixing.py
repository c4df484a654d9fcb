"""Whether batches are mixed among cells that are alike, or separate them."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import numpy as np
import pandas as pd

from neuralNMF.evidence.usage import shares

_log = logging.getLogger(__name__)

NEIGHBOURS = 30
MOST_CELLS = 20_000  # whose neighbours are looked for
# Batches look different where neighbours are of another one less than half as often as by chance.
SEPARATED = 0.5


def mixing(usage: np.ndarray, columns: Mapping[str, np.ndarray]) -> dict[str, float]:
    """How often a cell's nearest neighbours are of another batch, beside what chance gives.

    Parameters
    ----------
    usage : ndarray, (N, k)
        Of a layer; cells are near by their `shares`.
    columns : mapping of str to ndarray of str, (N,)
        Batches by different columns; "" of a cell without one, which does not count.

    Returns
    -------
    dict of str to float
        1 where batches do not matter, 0 where all of the 30 neighbours are of a cell's own; NaN of
        a single batch. Of more than 20,000 cells by a random sample.
    """
    there = np.arange(len(usage))
    if there.size > MOST_CELLS:
        there = np.sort(np.random.default_rng(0).choice(there, MOST_CELLS, replace=False))
    if not columns or there.size <= NEIGHBOURS:
        return dict.fromkeys(columns, float("nan"))
    # Here, since it takes seconds and most runs have no batches.
    from sklearn.neighbors import NearestNeighbors

    rows = shares(usage[there])
    near = NearestNeighbors(n_neighbors=NEIGHBOURS).fit(rows).kneighbors(return_distance=False)
    return {name: _mixing(near, values[there]) for name, values in columns.items()}


def _mixing(near: np.ndarray, batches: np.ndarray) -> float:
    """The same for one column, of cells whose neighbours (n, 30) are known."""
    known = batches != ""
    sizes = np.unique(batches[known], return_counts=True)[1]
    if sizes.size < 2:
        return float("nan")
    others = (batches[near] != batches[:, None]) & known[near]
    chance = 1.0 - np.square(sizes / sizes.sum()).sum()
    return float(others[known].sum() / known[near][known].sum() / chance)


def warn_of_batches(usage: np.ndarray, columns: Mapping[str, np.ndarray]) -> list[str]:
    """Warn where batches look different although none was named, and say which columns would do.

    Parameters
    ----------
    usage : ndarray, (N, k)
        Of the first layer.
    columns : mapping of str to ndarray of str, (N,)
        Columns that may be batches.

    Returns
    -------
    list of str
        The columns by which the cells are separated, the most separated first.
    """
    found = mixing(usage, columns)
    apart = sorted((name for name in found if found[name] < SEPARATED), key=found.__getitem__)
    if apart:
        listed = ", ".join(f"'batch: {name}' (mixing {found[name]:.2f})" for name in apart)
        _log.warning(
            "The programs separate cells by where they are from: neighbours are of another batch "
            "much less often than by chance, where mixing is 1. What would do: %s. A column whose "
            "effect you look for is no batch: name it 'condition'.",
            listed,
        )
    return apart


def warn_of_confounding(groups: Mapping[str, np.ndarray]) -> bool:
    """Warn where ``batch`` and ``condition`` cannot be told apart.

    Parameters
    ----------
    groups : mapping of str to ndarray of str, (N,)
        By these names; "" of a cell without one.

    Returns
    -------
    bool
        Whether no condition has cells of two batches.
    """
    if not {"batch", "condition"} <= set(groups):
        return False
    there = (groups["batch"] != "") & (groups["condition"] != "")
    table = pd.crosstab(groups["batch"][there], groups["condition"][there]).to_numpy() > 0
    apart = table.size > 0 and bool((table.sum(axis=0) < 2).all())
    if apart:
        _log.warning(
            "Batch and condition cannot be told apart, no condition has cells of two batches: what "
            "differs between the conditions may be the batches' doing."
        )
    return apart
