"""Variable genes by their Pearson residuals, from chunks of counts.

Variance of the clipped analytic Pearson residuals (Lause, Berens & Kobak 2021, Genome Biology
22:258), with the choices of scanpy.experimental.pp.highly_variable_genes.
"""

from typing import Any

import numpy as np
import scipy.sparse as sp

from neuralNMF.dataset.order_free import OrderFreeSums

BLOCK = 1 << 22  # residuals held at once: 32 MiB


class PearsonResiduals:
    """Variance of clipped Pearson residuals, gene by gene, from chunks of counts.

    With the total s_n of cell n, the sum c_g of gene g and S = sum of c: mu = s_n c_g / S and
    r = (x - mu) / sqrt(mu + mu^2 / theta), clipped to +- sqrt(N). A zero count's residual depends
    on n through s_n alone, so the zeros of all cells with the same total are one evaluation: the
    cost is (non-zeros + distinct totals x M), exact, and no N x M matrix is made.

    Parameters
    ----------
    gene_sums : ndarray, (M,)
        Counts of each gene over all cells.
    cells : int
        Cells N in all chunks together.
    theta : float
        Overdispersion of the counts: their variance is mu + mu^2 / theta.
    of_all : int or None
        Cells of all batches, where these are those of one: by them residuals are clipped.
    """

    def __init__(
        self, gene_sums: np.ndarray, cells: int, theta: float = 100.0, of_all: int | None = None
    ) -> None:
        self.share = gene_sums / max(gene_sums.sum(), 1.0)
        self.cells, self.theta = cells, theta
        number = cells if of_all is None else of_all
        self.clip = np.sqrt(number)
        # A residual less that of a zero is at most twice the limit, of each cell.
        self.sums = OrderFreeSums(gene_sums.size, 2 * number * float(self.clip))
        self.squares = OrderFreeSums(gene_sums.size, float(number) ** 2)
        self.totals: dict[float, int] = {}  # cells of each total count

    def add(self, counts: sp.csr_matrix) -> None:
        """Take in a chunk of counts (n, M) of the same genes."""
        total = np.asarray(counts.sum(axis=1, dtype=np.float64)).ravel()
        for value, number in zip(*np.unique(total, return_counts=True), strict=True):
            self.totals[value] = self.totals.get(value, 0) + int(number)
        mu = np.repeat(total, np.diff(counts.indptr)) * self.share[counts.indices]
        scale = np.sqrt(mu + mu**2 / self.theta)
        residual = np.clip((counts.data - mu) / scale, -self.clip, self.clip)
        zero = np.clip(-mu / scale, -self.clip, self.clip)  # what `variance` counts for it
        genes = self.share.size
        self.sums.add(np.bincount(counts.indices, residual - zero, genes))
        self.squares.add(np.bincount(counts.indices, residual**2 - zero**2, genes))

    def seen(self) -> dict[str, Any]:
        """What of the counts was seen, for `merge`."""
        totals = np.array(sorted(self.totals), dtype=np.float64)
        cells = np.array([self.totals[total] for total in totals], dtype=np.int64)
        return {"bins": [self.sums.bins, self.squares.bins], "totals": totals, "cells": cells}

    def merge(self, seen: dict[str, Any]) -> None:
        """Take in what another one saw of other cells."""
        for own, bins in zip((self.sums, self.squares), seen["bins"], strict=True):
            own.bins += bins
        for total, cells in zip(seen["totals"].tolist(), seen["cells"].tolist(), strict=True):
            self.totals[total] = self.totals.get(total, 0) + cells

    def variance(self) -> np.ndarray:
        """Variance of the residuals, (M,); 0 for a gene without counts."""
        total = np.array(sorted(self.totals), dtype=np.float64)
        number = np.array([self.totals[value] for value in total], dtype=np.float64)
        sums, squares = self.sums.total(), self.squares.total()
        step = max(1, BLOCK // self.share.size)
        for start in range(0, total.size, step):
            mu = np.outer(total[start : start + step], self.share)
            # -mu / sqrt(mu + mu^2 / theta) without 0 / 0
            zero = np.maximum(-np.sqrt(mu / (1 + mu / self.theta)), -self.clip)
            sums += number[start : start + step] @ zero
            squares += number[start : start + step] @ zero**2
        variance = squares / self.cells - (sums / self.cells) ** 2
        return np.where(self.share > 0, np.maximum(variance, 0.0), 0.0)
