"""Variable genes as Seurat's ``vst`` finds them, from chunks of counts.

Stuart et al. 2019, Cell 177:1888, with the choices of scanpy.pp.highly_variable_genes
(flavor="seurat_v3").
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

logger = logging.getLogger(__name__)

SPAN = 0.3  # share of the genes that each local fit sees
WIDER = (0.5, 0.75, 1.0)  # spans tried where that fails
DEGREE = 2
LEAST_GENES = 10  # loess divides by zero in machine code where a window holds less than a gene
ROUNDING = 8 * np.finfo(np.float64).eps


@dataclass(frozen=True)
class Usual:
    """How genes of N cells usually vary within their batches.

    Attributes
    ----------
    scale : ndarray, (M,)
        s_g, the root of the variance that genes of such a mean usually have.
    varies : ndarray of bool, (M,)
        Genes whose counts vary.
    cells : int
        N, of all batches.
    """

    scale: np.ndarray
    varies: np.ndarray
    cells: int


def usual_variance(
    gene_sums: np.ndarray, gene_squares: np.ndarray, cells: np.ndarray, name: str = "counts"
) -> Usual:
    """The variance within batches that genes of such a mean usually have.

    A loess of log10 variance on log10 mean over all genes whose counts vary.

    Parameters
    ----------
    gene_sums, gene_squares : ndarray, (B, M)
        Sums over the cells of each batch of the counts and of their squares.
    cells : ndarray of int, (B,)
        Cells of each batch.
    name : str
        Of the input, for messages.
    """
    number, own = int(cells.sum()), np.maximum(cells, 1)[:, None]
    freedom = max(int(np.maximum(cells - 1, 0).sum()), 1)
    within = gene_squares / own - (gene_sums / own) ** 2
    variance = (within * (cells[:, None] / freedom)).sum(axis=0)
    varies = variance > ROUNDING * gene_squares.sum(axis=0) / max(number, 1)
    mean = gene_sums.sum(axis=0) / max(number, 1)
    usual = np.zeros(mean.size)
    usual[varies] = variance_trend(np.log10(mean[varies]), np.log10(variance[varies]), name)
    return Usual(np.sqrt(10**usual), varies, number)


class StandardizedCounts:
    """Variance of clipped standardized counts, gene by gene, from chunks of counts.

    With the root s_g of the variance that a gene of its mean usually has and the mean m_g of a
    batch: z = min((x - m_g) / s_g, sqrt(N)), and the result is the sum of z^2 over the batch's n
    cells / (n - 1). The zeros of a gene share one z, so only its sums of clipped counts and of
    their squares are needed.

    Parameters
    ----------
    gene_sums, gene_squares : ndarray, (M,)
        Sums over all cells of the batch of the counts and of their squares.
    cells : int
        Cells n of the batch in all chunks together.
    usual : Usual or None
        Of all batches; None: of these cells alone.
    """

    def __init__(
        self,
        gene_sums: np.ndarray,
        gene_squares: np.ndarray,
        cells: int,
        usual: Usual | None = None,
    ) -> None:
        if usual is None:
            usual = usual_variance(gene_sums[None], gene_squares[None], np.array([cells]))
        self.cells, self.usual = cells, usual
        self.mean = gene_sums / max(cells, 1)
        self.clip = usual.scale * np.sqrt(usual.cells) + self.mean
        # Whole numbers, so their order does not matter; clipped counts are counted.
        self.sums = np.zeros(gene_sums.size)
        self.squares = np.zeros(gene_sums.size)
        self.clipped = np.zeros(gene_sums.size, np.int64)

    def add(self, counts: sp.csr_matrix) -> None:
        """Take in a chunk of counts (n, M) of the same genes."""
        genes = self.sums.size
        data = counts.data.astype(np.float64)
        above = data > self.clip[counts.indices]
        self.clipped += np.bincount(counts.indices[above], minlength=genes)
        data[above] = 0.0
        self.sums += np.bincount(counts.indices, data, genes)
        self.squares += np.bincount(counts.indices, data**2, genes)

    def seen(self) -> dict[str, Any]:
        """What of the counts was seen, for `merge`."""
        return {"sums": self.sums, "squares": self.squares, "clipped": self.clipped}

    def merge(self, seen: dict[str, Any]) -> None:
        """Take in what another one saw of other cells."""
        self.sums += seen["sums"]
        self.squares += seen["squares"]
        self.clipped += seen["clipped"]

    def variance(self) -> np.ndarray:
        """Variance of the standardized counts, (M,); 0 for a gene whose counts do not vary."""
        sums = self.sums + self.clipped * self.clip
        of_squares = self.squares + self.clipped * self.clip**2
        squares = self.cells * self.mean**2 + of_squares - 2 * sums * self.mean
        variance = squares / (max(self.cells - 1, 1) * self.usual.scale**2)
        return np.where(self.usual.varies, np.maximum(variance, 0.0), 0.0)


def variance_trend(mean: np.ndarray, variance: np.ndarray, name: str) -> np.ndarray:
    """Log10 variance that genes of such a mean usually have: a loess of degree 2.

    A local fit fails where most genes in its window have one and the same mean, as in a handful of
    cells. Then the window is widened, and at last one parabola is fitted to all genes.

    Parameters
    ----------
    mean, variance : ndarray, (M,)
        Log10 of the genes' means and variances.
    name : str
        Of the input, for messages.

    Returns
    -------
    ndarray, (M,)
        The trend at each gene.
    """
    if mean.size >= LEAST_GENES:
        for span in (SPAN, *WIDER):
            trend = _loess(mean, variance, span)
            if trend is not None:
                if span > SPAN:
                    _tell(name, mean, f"a span of {span:g} was taken")
                return trend
    if mean.size:
        _tell(name, mean, "one parabola was fitted to all genes")
    degree = min(DEGREE, np.unique(mean).size - 1)
    if degree < 1:  # older NumPy cannot fit a constant to a single place
        return np.full(mean.size, variance.mean()) if mean.size else variance
    return np.polynomial.Polynomial.fit(mean, variance, degree)(mean)


def _loess(x: np.ndarray, y: np.ndarray, span: float) -> np.ndarray | None:
    """The fitted values of a loess, None where its equations are singular."""
    from skmisc.loess import loess  # scanpy's; imported by the one job in many that needs it

    model = loess(x, y, span=span, degree=DEGREE)
    try:
        model.fit()
    except ValueError:
        return None
    fitted = np.asarray(model.outputs.fitted_values)
    return fitted if np.isfinite(fitted).all() else None


def _tell(name: str, mean: np.ndarray, instead: str) -> None:
    logger.warning(
        "%s: the usual variance cannot be fitted by a loess with a span of %g, since its %d genes "
        "that vary have %d different means: %s; a higher min_cells or 'variable_genes_by: pearson' "
        "avoids that",
        name,
        SPAN,
        mean.size,
        np.unique(mean).size,
        instead,
    )
