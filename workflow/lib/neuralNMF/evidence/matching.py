"""Which program of one fit, or of the truth, is which of another."""

import numpy as np
from scipy.optimize import linear_sum_assignment


def unit_columns(columns: np.ndarray) -> np.ndarray:
    """Columns (N, k) centred and of norm one, so that their products are correlations.

    A column that does not vary becomes zeros: it correlates with nothing.
    """
    centred = columns - columns.mean(axis=0, dtype=np.float64)
    norms = np.linalg.norm(centred, axis=0)
    varies = norms > 1e-12 * np.linalg.norm(columns, axis=0)
    return np.where(varies, centred, 0.0) / np.where(varies, norms, 1.0)


def matched_correlations(usage: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Correlations of the usage of matched programs.

    Parameters
    ----------
    usage, other : ndarray, (N, k) and (N, m)
        Of the same N cells. Programs that no cell uses are none.

    Returns
    -------
    ndarray of float64, (min(k, m),) of the programs that are used
        Pearson's, falling; the one-to-one match is that of the largest sum.
    """
    units = [unit_columns(each[:, each.any(axis=0)]) for each in (usage, other)]
    correlations = units[0].T @ units[1]
    matched = correlations[linear_sum_assignment(correlations, maximize=True)]
    return np.sort(matched)[::-1]


def match_by_genes(found: np.ndarray, planted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The planted program that each found one is, and the cosine of the two.

    Parameters
    ----------
    found, planted : ndarray, (k, M) and (m, M)
        Programs of the same M genes.

    Returns
    -------
    match : ndarray of int, (k,)
        Row of `planted`, or -1 for a program that is left over; one-to-one, of the largest sum of
        cosines.
    cosines : ndarray of float64, (k,)
        NaN for a program that is left over.
    """
    units = [
        rows / np.linalg.norm(rows, axis=1, keepdims=True).clip(1e-30) for rows in (found, planted)
    ]
    cosines = units[0] @ units[1].T
    rows, columns = linear_sum_assignment(cosines, maximize=True)
    match, matched = np.full(len(found), -1), np.full(len(found), np.nan)
    match[rows], matched[rows] = columns, cosines[rows, columns]
    return match, matched


def matched_cosines(found: np.ndarray, planted: np.ndarray) -> list[float]:
    """Cosines of the one-to-one match of `match_by_genes`, rising."""
    cosines = match_by_genes(found, planted)[1]
    return np.sort(cosines[~np.isnan(cosines)]).tolist()


def tree_recovered(
    parents: np.ndarray, planted: np.ndarray, fine: np.ndarray, coarse: np.ndarray
) -> float:
    """Share of the planted programs that were found below the right coarse program.

    Parameters
    ----------
    parents : ndarray of int, (k_l,)
        Of each found fine program, its coarse one (`neuralNMF.evidence.tree`), or -1.
    planted : ndarray of int, (m_l,)
        Of each planted fine program, its coarse one.
    fine, coarse : ndarray of int, (k_l,) and (k_{l+1},)
        The planted program that each found one is, or -1 (`match_by_genes`).

    Returns
    -------
    float
        0 to 1; a planted program that no found one stands for was not recovered.
    """
    there = np.flatnonzero((fine >= 0) & (parents >= 0))
    right = coarse[parents[there]] == planted[fine[there]]
    return float(right.sum() / len(planted))
