"""What most cells of a program are by their label."""

import numpy as np

NOTHING = -1


def majority(main: np.ndarray, codes: np.ndarray, programs: int) -> tuple[np.ndarray, np.ndarray]:
    """Find the label that most cells of each program have.

    Parameters
    ----------
    main : ndarray of int, (N,)
        Each cell's main program (`neuralNMF.evidence.main_program`); below 0 of a cell without one.
    codes : ndarray of int, (N,)
        Each cell's label, from 0 on.
    programs : int
        How many there are, k.

    Returns
    -------
    label : ndarray of int, (k,)
        `NOTHING` of a program that is no cell's main one, or that has no label in more than half of
        its cells.
    share : ndarray, (k,)
        Of its cells, 0 to 1, of the most frequent label.
    """
    labels = int(codes.max(initial=0)) + 1
    there = main >= 0
    counts = np.bincount(main[there] * labels + codes[there], minlength=programs * labels)
    counts = counts.reshape(programs, labels)
    cells = counts.sum(axis=1)
    found = np.where(2 * counts.max(axis=1) > cells, counts.argmax(axis=1), NOTHING)
    return found, counts.max(axis=1) / np.maximum(cells, 1)
