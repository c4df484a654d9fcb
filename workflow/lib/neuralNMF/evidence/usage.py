"""What the cells' usage says of the programs of a layer: its twins, its inputs, library sizes."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from neuralNMF.evidence.matching import unit_columns

USED = 0.1  # of the mean share in the input that uses a program most
SMALLEST_GROUP = 20  # cells; of fewer a correlation says nothing


def shares(rows: np.ndarray) -> np.ndarray:
    """Rows at sum one, in double precision; a row of zeros stays one."""
    sums = rows.sum(axis=1, keepdims=True, dtype=np.float64)
    return rows / np.where(sums > 0, sums, 1.0)


def effective_number(rows: np.ndarray) -> np.ndarray:
    """How many entries each row spreads over, 1 / sum p^2 of its shares p; 0 of a row of zeros."""
    squares = np.square(shares(rows)).sum(axis=1)
    return np.divide(1.0, squares, out=np.zeros_like(squares), where=squares > 0)


def redundancy(of_cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The program of the same layer that each is most like.

    Parameters
    ----------
    of_cells : ndarray, (N, k)
        `shares` of the usage, so that cells with more counts do not make programs alike.

    Returns
    -------
    correlation : ndarray of float64, (k,)
        Pearson's over the cells, the highest with any other program; NaN of a single program.
    other : ndarray of int, (k,)
        Which that is, or -1.
    """
    units = unit_columns(of_cells)
    correlations = units.T @ units
    if len(correlations) < 2:
        return np.full(len(correlations), np.nan), np.full(len(correlations), -1)
    np.fill_diagonal(correlations, -np.inf)
    return correlations.max(axis=1), correlations.argmax(axis=1)


@dataclass(frozen=True)
class Coverage:
    """Which inputs use each program of a layer; every input counts alike, however many cells.

    Attributes
    ----------
    inputs_using : ndarray of int, (k,)
        Inputs in whose cells its mean share is at least a tenth of that in `main_input`.
    main_input : ndarray of str, (k,)
        The input whose cells have most of it; "" of a program that no cell uses.
    main_share : ndarray of float64, (k,)
        Mean share there over the sum of the inputs' mean shares: 1 where no other input has any.
    names : ndarray of str, (n,)
        The inputs.
    shares : ndarray of float64, (n, k)
        That of each input.
    """

    inputs_using: np.ndarray
    main_input: np.ndarray
    main_share: np.ndarray
    names: np.ndarray
    shares: np.ndarray


def coverage(of_cells: np.ndarray, inputs: np.ndarray) -> Coverage:
    """Find the inputs that use each program.

    Parameters
    ----------
    of_cells : ndarray, (N, k)
        `shares` of the usage.
    inputs : ndarray of str, (N,)
        The input, or donor, of each cell.

    Returns
    -------
    Coverage
    """
    names, codes = np.unique(inputs, return_inverse=True)
    means = np.stack([of_cells[codes == code].mean(axis=0) for code in range(len(names))])
    most, sums = means.max(axis=0), means.sum(axis=0)
    used = most > 0
    return Coverage(
        np.where(used, (means >= USED * most).sum(axis=0), 0),
        np.where(used, names[means.argmax(axis=0)], ""),
        np.divide(most, sums, out=np.zeros_like(most), where=used),
        names,
        np.divide(means, sums, out=np.zeros_like(means), where=sums > 0),
    )


def library_size_correlation(
    of_cells: np.ndarray, total_counts: np.ndarray, groups: np.ndarray
) -> np.ndarray:
    """How a program's share goes with the cells' total counts, among cells of a kind.

    Types of cells differ in size, so over all cells the program of a large type goes with the
    library size as well as a technical one does.

    Parameters
    ----------
    of_cells : ndarray, (N, k)
        `shares` of the usage.
    total_counts : ndarray, (N,)
        Of each cell.
    groups : ndarray of int, (N,)
        The kind of each cell: its main program in the last layer.

    Returns
    -------
    ndarray of float64, (k,)
        Spearman's correlation in each group of at least 20 cells, mean over the groups weighted by
        their cells; 0 where a share does not vary or no group is large enough.
    """
    sums, cells = np.zeros(of_cells.shape[1]), 0
    for group in np.unique(groups):
        there = groups == group
        if there.sum() < SMALLEST_GROUP:
            continue
        ranks = [rankdata(each[there], axis=0) for each in (of_cells, total_counts[:, None])]
        sums += there.sum() * (unit_columns(ranks[0]).T @ unit_columns(ranks[1]))[:, 0]
        cells += int(there.sum())
    return sums / max(cells, 1)
