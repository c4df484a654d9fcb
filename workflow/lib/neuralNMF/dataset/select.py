"""Gene statistics, variable genes and gene lists, on a stream of sparse chunks.

Variable genes: variance of the clipped analytic Pearson residuals (Lause, Berens & Kobak 2021,
Genome Biology 22:258), with the choices of scanpy.experimental.pp.highly_variable_genes.
"""

import logging
from collections.abc import Sequence

import numpy as np
import pandas as pd
import scipy.sparse as sp

from neuralNMF.errors import InputError

logger = logging.getLogger(__name__)

BLOCK = 1 << 22  # residuals held at once: 32 MiB


class GeneStatistics:
    """Sums over cells, gene by gene, from chunks of counts (n, M)."""

    def __init__(self, genes: int) -> None:
        self.cells = 0
        self.n_cells = np.zeros(genes, np.int64)
        self.sums = np.zeros(genes)
        self.squares = np.zeros(genes)

    def add(self, counts: sp.csr_matrix) -> None:
        """Take in a chunk without stored zeros."""
        genes = self.sums.size
        data = counts.data.astype(np.float64)
        self.cells += counts.shape[0]
        self.n_cells += np.bincount(counts.indices, minlength=genes)
        self.sums += np.bincount(counts.indices, data, genes)
        self.squares += np.bincount(counts.indices, data**2, genes)

    def mean(self) -> np.ndarray:
        """(M,) mean count over all cells."""
        return self.sums / max(self.cells, 1)

    def variance(self) -> np.ndarray:
        """(M,) variance over all cells (divided by their number)."""
        return np.maximum(self.squares / max(self.cells, 1) - self.mean() ** 2, 0.0)


class PearsonResiduals:
    """Variance of clipped Pearson residuals, gene by gene, from chunks of counts.

    With the total s_n of cell n, the sum c_g of gene g and S = sum of c: mu = s_n c_g / S and
    r = (x - mu) / sqrt(mu + mu^2 / theta), clipped to +- sqrt(N). A zero count's residual depends
    on n through s_n alone, so the zeros of all cells with the same total are one evaluation: the
    cost is (non-zeros + distinct totals x M), exact, and no N x M matrix is made.
    """

    def __init__(self, gene_sums: np.ndarray, cells: int, theta: float = 100.0) -> None:
        """Start with the sums (M,) of the genes and the number of cells in the whole stream."""
        self.share = gene_sums / max(gene_sums.sum(), 1.0)
        self.cells, self.theta = cells, theta
        self.clip = np.sqrt(cells)
        self.sums = np.zeros(gene_sums.size)
        self.squares = np.zeros(gene_sums.size)
        self.totals: dict[int, int] = {}  # cells of each total count

    def add(self, counts: sp.csr_matrix) -> None:
        """Take in a chunk (n, M) of the same genes."""
        total = np.asarray(counts.sum(axis=1, dtype=np.float64)).ravel()
        for value, number in zip(*np.unique(total, return_counts=True), strict=True):
            self.totals[value] = self.totals.get(value, 0) + int(number)
        mu = np.repeat(total, np.diff(counts.indptr)) * self.share[counts.indices]
        scale = np.sqrt(mu + mu**2 / self.theta)
        there = np.clip((counts.data - mu) / scale, -self.clip, self.clip)
        zero = np.clip(-mu / scale, -self.clip, self.clip)  # what `variance` counts for it
        genes = self.share.size
        self.sums += np.bincount(counts.indices, there - zero, genes)
        self.squares += np.bincount(counts.indices, there**2 - zero**2, genes)

    def variance(self) -> np.ndarray:
        """(M,) variance of the residuals; 0 for a gene without counts."""
        total = np.array(sorted(self.totals), dtype=np.float64)
        number = np.array([self.totals[value] for value in total], dtype=np.float64)
        sums, squares = self.sums.copy(), self.squares.copy()
        step = max(1, BLOCK // self.share.size)
        for start in range(0, total.size, step):
            mu = np.outer(total[start : start + step], self.share)
            # -mu / sqrt(mu + mu^2 / theta) without 0 / 0
            zero = np.maximum(-np.sqrt(mu / (1 + mu / self.theta)), -self.clip)
            sums += number[start : start + step] @ zero
            squares += number[start : start + step] @ zero**2
        variance = squares / self.cells - (sums / self.cells) ** 2
        return np.where(self.share > 0, np.maximum(variance, 0.0), 0.0)


def most_variable(residual_variance: np.ndarray, number: int) -> np.ndarray:
    """Indices (number,) of the most variable genes, from variances (inputs, M).

    One input: the largest variances. Several: genes among the top of most inputs first, then those
    with the smallest median rank over the inputs where they are in the top.
    """
    ranks = np.argsort(np.argsort(-residual_variance, axis=1, kind="stable"), axis=1).astype(float)
    top = ranks < number
    ranks[~top] = np.nan
    median = np.full(ranks.shape[1], np.inf)
    some = top.any(axis=0)
    median[some] = np.nanmedian(ranks[:, some], axis=0)
    return np.lexsort((median, -top.sum(axis=0)))[:number]


def match_genes(
    names: Sequence[str], ids: np.ndarray, symbols: np.ndarray, what: str
) -> np.ndarray:
    """Mask (M,) of the genes whose id or symbol is in ``names``.

    Unknown names are logged; raises InputError where none is known. ``what`` names the list.
    """
    wanted = set(names)
    mask = pd.Index(ids).isin(wanted) | pd.Index(symbols).isin(wanted)
    unknown = sorted(wanted - set(ids[mask]) - set(symbols[mask]))
    if wanted and not mask.any():
        raise InputError(
            f"None of the {len(wanted)} genes of '{what}' ({_some(unknown)}) is in the data, whose "
            f"ids are like '{ids[0]}' and symbols like '{symbols[0]}': give names of that kind."
        )
    if unknown:
        logger.warning(
            "%s: %d of %d genes are not in the data: %s",
            what,
            len(unknown),
            len(wanted),
            _some(unknown),
        )
    return mask


def _some(names: Sequence[str], number: int = 10) -> str:
    return ", ".join(names[:number]) + (", ..." if len(names) > number else "")
