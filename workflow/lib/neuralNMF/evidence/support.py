"""Support of a program: the effective number of cells that carry it."""

from collections.abc import Sequence

import numpy as np

from neuralNMF.team import ALONE, Team

NOISE_BELOW = 10.0  # cells; a program with less support is noise
CELLS_AT_A_TIME = 65_536


def support(usage: np.ndarray, mixing: np.ndarray | None = None, team: Team = ALONE) -> np.ndarray:
    """The effective number of cells of each program, (sum u^2)^2 / sum u^4.

    u is the program's share of a cell's usage, so that cells with more counts do not weigh more.
    Of n cells with the same share and none elsewhere the support is n. It is the inverse Simpson
    index (Hill's number of order 2) of the weights u^2: squares, because traces of a program in
    thousands of cells would hide that it lives in three.

    Parameters
    ----------
    usage : ndarray, (N, k)
        U_l, non-negative and finite, in units in which the programs can be compared (rows of beta
        sum to 1). A cell without any usage counts for no program.
    mixing : ndarray, (k, m), optional
        The programs are those of usage @ mixing, which is formed for some cells at a time.
    team : Team
        The processes that hold the cells, each the usage of its own.

    Returns
    -------
    ndarray of float64, (k,) or (m,)
        Between 1 and N; 0 for a program that no cell uses.

    References
    ----------
    Hill, M. O. (1973). Diversity and evenness: a unifying notation and its consequences. Ecology
    54, 427-432.
    """
    programs = usage.shape[1] if mixing is None else mixing.shape[1]
    squares, fourths = np.zeros(programs), np.zeros(programs)
    for start in range(0, len(usage), CELLS_AT_A_TIME):
        block = usage[start : start + CELLS_AT_A_TIME].astype(np.float64)
        if mixing is not None:
            block = block @ mixing
        totals = block.sum(axis=1, keepdims=True)
        shares = np.divide(block, totals, out=np.zeros_like(block), where=totals > 0)
        np.square(shares, out=shares)
        squares += shares.sum(axis=0)
        fourths += np.square(shares).sum(axis=0)
    team.add(squares, fourths)
    return np.divide(squares**2, fourths, out=np.zeros_like(squares), where=fourths > 0)


def layer_supports(
    thetas: Sequence[np.ndarray],
    masses: Sequence[np.ndarray] | None = None,
    team: Team = ALONE,
) -> list[np.ndarray]:
    """`support` of the programs of every layer, without forming the usages.

    Parameters
    ----------
    thetas : sequence of ndarray
        Theta_1 (N, k_1), then Theta_l (k_{l-1}, k_l).
    masses : sequence of ndarray, (k_l,) each, or None
        Sum of every program over the genes; None where they are 1, as in saved models.
    team : Team
        As for `support`.

    Returns
    -------
    list of ndarray of float64, (k_l,) each
    """
    cells, *later = thetas
    chains = [np.eye(cells.shape[1])]
    for theta in later:
        chains.append(chains[-1] @ theta)
    if masses is not None:
        chains = [chain * mass for chain, mass in zip(chains, masses, strict=True)]
    return [support(cells, chain, team) for chain in chains]
