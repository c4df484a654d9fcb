"""The cells that use a program most, and in how many of them each gene is found."""

from collections.abc import Iterable

import numpy as np

MOST, FEWEST = 1000, 10  # cells of a program that are looked at


def strongest_cells(shares: np.ndarray, support: np.ndarray) -> list[np.ndarray]:
    """Find the cells that use each program most: as many as carry it, from 10 to 1,000.

    Parameters
    ----------
    shares : ndarray, (N, k)
        Of each cell's expression, in any unit.
    support : ndarray, (k,)
        Effective number of cells of each program (`neuralNMF.evidence.support`).

    Returns
    -------
    list of ndarray of int
        Of each program, rising; those with a share of it only, so none of a dead one.
    """
    counts = np.clip(np.rint(support).astype(int), FEWEST, MOST)
    found = []
    for column, count in zip(shares.T, counts, strict=True):
        most = np.argsort(-column, kind="stable")[:count]
        found.append(np.sort(most[column[most] > 0]))
    return found


def shares_with_gene(rows: Iterable[np.ndarray], genes: int) -> np.ndarray:
    """The share of some cells that have a count of each gene.

    Parameters
    ----------
    rows : iterable of ndarray of int
        The genes that are found in each cell.
    genes : int
        How many there are, M.

    Returns
    -------
    ndarray, (M,)
        0 to 1; NaN where there are no cells.
    """
    counts, cells = np.zeros(genes), 0
    for row in rows:
        counts[row] += 1
        cells += 1
    return counts / cells if cells else np.full(genes, np.nan)
