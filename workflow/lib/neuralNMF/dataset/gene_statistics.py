"""Mean, variance and number of expressing cells of each gene, summed over chunks of cells."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp


class GeneStatistics:
    """Sums over cells, gene by gene, from chunks of counts.

    Parameters
    ----------
    genes : int
        Columns M of the chunks.

    Attributes
    ----------
    cells : int
        Cells so far.
    n_cells : ndarray of int64, (M,)
        Cells that express each gene.
    sums, squares : ndarray of float64, (M,)
        Sums of the counts and of their squares.
    """

    def __init__(self, genes: int) -> None:
        self.cells = 0
        self.n_cells = np.zeros(genes, np.int64)
        self.sums = np.zeros(genes)
        self.squares = np.zeros(genes)

    def add(self, counts: sp.csr_matrix) -> None:
        """Take in a chunk of counts (n, M) without stored zeros."""
        genes = self.sums.size
        data = counts.data.astype(np.float64)
        self.cells += counts.shape[0]
        self.n_cells += np.bincount(counts.indices, minlength=genes)
        self.sums += np.bincount(counts.indices, data, genes)
        self.squares += np.bincount(counts.indices, data**2, genes)

    def mean(self) -> np.ndarray:
        """Mean count over all cells, (M,)."""
        return self.sums / max(self.cells, 1)

    def variance(self) -> np.ndarray:
        """Variance over all cells (divided by their number), (M,)."""
        return np.maximum(self.squares / max(self.cells, 1) - self.mean() ** 2, 0.0)


@dataclass(frozen=True)
class CountedInput:
    """What is known of an input after its cells were counted.

    Attributes
    ----------
    name : str
        Of the input.
    parts : dict of str to GeneStatistics
        Of the genes over the kept cells of each batch; over all, by "", where there are no batches.
    """

    name: str
    parts: dict[str, GeneStatistics]

    @property
    def statistics(self) -> GeneStatistics:
        """Over all kept cells."""
        return pooled(self.parts.values())


def pooled(parts: Iterable[GeneStatistics]) -> GeneStatistics:
    """Statistics over the cells of several inputs together; all have the same genes."""
    parts = list(parts)
    total = GeneStatistics(parts[0].sums.size)
    for part in parts:
        total.cells += part.cells
        total.n_cells += part.n_cells
        total.sums += part.sums
        total.squares += part.squares
    return total
