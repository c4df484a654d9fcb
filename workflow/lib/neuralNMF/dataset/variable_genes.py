"""The most variable genes of one or several inputs, and what each way to find them offers."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import scipy.sparse as sp


class GeneVariance(Protocol):
    """A way to find variable genes: a variance for each, from chunks of one input's counts."""

    def add(self, counts: sp.csr_matrix) -> None:
        """Take in a chunk of counts (n, M); every chunk has the same genes."""

    def seen(self) -> dict[str, Any]:
        """What of the counts was seen, arrays and lists of them, for `merge`."""

    def merge(self, seen: dict[str, Any]) -> None:
        """Take in what another one with the same settings saw of other cells.

        The variance is that of one which saw all of them, to the last digit, in whatever order and
        by however many they were seen (in the same chunks).
        """

    def variance(self) -> np.ndarray:
        """Variance of each gene after all chunks, (M,), whatever the genes' means; never NaN."""


def within_batches(variances: Sequence[np.ndarray], cells: Sequence[int]) -> np.ndarray:
    """The variance within batches: the mean over the batches, each by its degrees of freedom.

    What differs between the batches' means has no part in it. Without such differences it is the
    variance of all cells, however many batches these are divided into.

    Parameters
    ----------
    variances : sequence of ndarray, (M,)
        What a `GeneVariance` gave for each batch.
    cells : sequence of int
        Of each batch.

    Returns
    -------
    ndarray, (M,)
    """
    freedom = np.maximum(np.asarray(cells) - 1, 0)
    return freedom / max(int(freedom.sum()), 1) @ np.stack(variances)


def most_variable(variance: np.ndarray, number: int) -> np.ndarray:
    """Find the most variable genes.

    Of one input, those with the largest variances. Of several, genes among the top of most inputs
    first, then those with the smallest median rank over the inputs where they are in the top.

    Parameters
    ----------
    variance : ndarray, (inputs, M)
        What a `GeneVariance` gave for each input.
    number : int
        How many genes.

    Returns
    -------
    ndarray of int, (min(number, M),)
        Columns of the genes, the most variable first.
    """
    ranks = np.argsort(np.argsort(-variance, axis=1, kind="stable"), axis=1).astype(float)
    top = ranks < number
    ranks[~top] = np.nan
    median = np.full(ranks.shape[1], np.inf)
    some = top.any(axis=0)
    median[some] = np.nanmedian(ranks[:, some], axis=0)
    return np.lexsort((median, -top.sum(axis=0)))[:number]
