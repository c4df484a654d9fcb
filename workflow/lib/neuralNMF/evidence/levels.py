"""Where a layer of programs has a coarser level: what putting its programs together costs."""

import numpy as np

from neuralNMF.team import ALONE, Team

_CHUNK = 1 << 16  # cells at a time that are held in double precision
_RIDGE = 1e-12  # of the usages' sum of squares
_NOTHING = 1e-9  # of the largest cost: no cost but rounding


def merge_costs(usage: np.ndarray, programs: np.ndarray, team: Team = ALONE) -> np.ndarray:
    """What it costs to put programs together, the cheapest pair first, one after the other.

    Two programs that are put together become one, whose usage is the sum of theirs; the programs
    are then solved again by least squares. The cost is the squared error that this adds to what
    the model says, ``usage @ programs``; the noise of the counts does not come into it.

    Parameters
    ----------
    usage : ndarray, (N, k)
    programs : ndarray, (k, M)
    team : Team
        The processes that hold the cells, each the usage of its own.

    Returns
    -------
    ndarray of float64, (k,)
        Entry n is the cost of the merge that leaves n programs, n = 1 ... k - 1; entry 0 is NaN.

    Notes
    -----
    With usage V = U S (S says which programs are together) and programs C, the constraint
    c_i = c_j adds |c_i - c_j|^2 / (e_i - e_j)' (V'V)^-1 (e_i - e_j) to the error of least squares
    (Seber and Lee, Linear Regression Analysis, 2003, section 3.8).
    """
    rank = len(programs)
    # What no cell uses, or only another program's cells do alike, costs nothing to put to it.
    usages = _gram(usage)
    team.add(usages)
    usages += _RIDGE * max(np.trace(usages), 1.0) * np.eye(rank)
    products = np.asarray(programs, np.float64)
    products = products @ products.T
    together = np.eye(rank)
    costs = np.full(rank, np.nan)
    for left in range(rank - 1, 0, -1):
        inverse = np.linalg.inv(together.T @ usages @ together)
        solved = inverse @ together.T @ usages
        apart = _squared_distances(solved @ products @ solved.T)
        spread = _squared_distances(inverse)
        np.fill_diagonal(spread, 1.0)
        added = apart / spread
        np.fill_diagonal(added, np.inf)
        first, second = np.unravel_index(added.argmin(), added.shape)
        costs[left] = added[first, second]
        together[:, first] += together[:, second]
        together = np.delete(together, second, axis=1)
    return costs


def gaps(costs: np.ndarray) -> np.ndarray:
    """By how many times the next merge costs more than the last one, at every number of programs.

    Parameters
    ----------
    costs : ndarray, (k,)
        Of `merge_costs`.

    Returns
    -------
    ndarray of float64, (k,)
        Entry n is that of n programs, n = 2 ... k - 1: where it is large, programs that belong
        together have been put together, and the next two do not. NaN of other numbers, and where
        the last merge cost nothing: programs that no cell uses, or that are there twice.
    """
    found = np.full(costs.size, np.nan)
    if costs.size > 2:
        last = costs[2:]
        real = last > _NOTHING * np.nanmax(costs)
        np.divide(costs[1:-1], last, out=found[2:], where=real)
    return found


def _gram(usage: np.ndarray) -> np.ndarray:
    rank = usage.shape[1]
    gram = np.zeros((rank, rank))
    for first in range(0, len(usage), _CHUNK):
        cells = usage[first : first + _CHUNK].astype(np.float64)
        gram += cells.T @ cells
    return gram


def _squared_distances(products: np.ndarray) -> np.ndarray:
    """Of vectors whose products with each other these are; by rounding never below zero."""
    squares = np.diag(products)
    return np.maximum(squares[:, None] + squares[None] - 2 * products, 0.0)
