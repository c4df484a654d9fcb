"""The program that a cell is drawn with."""

import numpy as np

NO_PROGRAM = -1


def main_programs(
    shares: np.ndarray, order: np.ndarray, passed_over: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Find each cell's main program: that of which it has most beyond the mean of all cells.

    A program that all cells use would else be the main one of them all.

    Parameters
    ----------
    shares : ndarray, (n, k)
        Of each cell's expression, in any unit.
    order : ndarray of int, (k,)
        The programs; of two that are equal the earlier one in this order counts.
    passed_over : ndarray of bool, (k,)
        Flagged programs: they are main ones only where there are no others.

    Returns
    -------
    main : ndarray of int, (n,)
        The program, or `NO_PROGRAM` of a cell that uses none.
    excess : ndarray, (n,)
        How much more of it the cell has than the mean cell.
    """
    candidates = order[~passed_over[order]]
    if len(candidates) == 0:
        candidates = order
    beyond = shares[:, candidates] - shares[:, candidates].mean(axis=0)
    place = beyond.argmax(axis=1)
    main = np.where(shares.any(axis=1), candidates[place], NO_PROGRAM)
    return main, np.take_along_axis(beyond, place[:, None], axis=1)[:, 0]
