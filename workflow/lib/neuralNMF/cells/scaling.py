"""Normalisation of counts, held as two vectors and the name of a function.

X' = diag(cells) f(X) diag(genes) with cells (N,), genes (M,) and an f that keeps zeros zero, so
that a sparse X stays sparse and X' need not be formed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp

from neuralNMF.io.dataset import Dataset

_CHUNK = 50_000


@dataclass(frozen=True)
class Scaling:
    """The way from raw counts to the matrix that is factorised.

    Parameters
    ----------
    cells : ndarray of float64, shape (N,)
        Factor of each cell; with a transform it acts on the counts before it, else after.
    genes : ndarray of float64, shape (M,)
        Factor of each gene.
    transform : {"none", "sqrt", "log1p"}
    dtype : type
        Of transformed values: float32 or float64, as the fit's precision.
    target_total : float or None
        Counts that every cell's total is brought to; None where the cells are left as they are.
    """

    cells: np.ndarray
    genes: np.ndarray
    transform: str = "none"
    dtype: type = np.float32
    target_total: float | None = None

    @property
    def outer_cells(self) -> np.ndarray:
        """The factor (N,) that is left to the products, once the values have been transformed."""
        return self.cells if self.transform == "none" else np.ones_like(self.cells)

    def values(self, data: np.ndarray, indptr: np.ndarray, start: int, stop: int) -> np.ndarray:
        """The values of the non-zeros of some cells, transformed.

        Parameters
        ----------
        data : ndarray, shape (nnz,)
            Counts of the cells' non-zeros.
        indptr : ndarray, shape (stop - start + 1,)
            Where each cell's non-zeros begin.
        start, stop : int
            First cell and the one past the last.

        Returns
        -------
        ndarray, shape (nnz,)
            ``data`` itself without a transform.
        """
        if self.transform == "none":
            return data
        factors: np.ndarray = self.cells[start:stop].astype(self.dtype)
        scaled = np.multiply(data, np.repeat(factors, np.diff(indptr)), dtype=self.dtype)
        function = np.sqrt if self.transform == "sqrt" else np.log1p
        return function(scaled, out=scaled)


def fit_scaling(
    dataset: Dataset,
    normalize: str,
    transform: str,
    gene_power: float | None = None,
    dtype: type = np.float32,
) -> Scaling:
    """Find the factors of cells and genes that a normalisation asks for.

    Parameters
    ----------
    dataset : Dataset
        N cells, M genes.
    normalize : {"counts", "library", "variance"}
        ``counts``: all cells' factors are 1. ``library`` and ``variance``: a cell's factor is the
        median total divided by its total, over all genes of its input, selected or not.
    transform : {"none", "sqrt", "log1p"}
    gene_power : float or None
        A gene's factor is 1 / (its standard deviation after all that) to this power, 1 for a gene
        that never varies; one pass over the data unless it is 0. None: 1 with ``variance``,
        otherwise 0.
    dtype : type
        Of transformed values.

    Returns
    -------
    Scaling
    """
    cells = np.ones(dataset.shape[0])
    genes = np.ones(dataset.shape[1])
    target = None
    if normalize != "counts":
        totals = dataset.obs["total_counts"].to_numpy(np.float64)
        counted = totals > 0
        target = float(np.median(totals[counted]))
        cells[counted] = target / totals[counted]
    scaling = Scaling(cells, genes, transform, dtype, target)
    power = float(normalize == "variance") if gene_power is None else gene_power
    if power == 0:
        return scaling
    variance, varies = _variances(dataset, scaling)
    genes[varies] = variance[varies] ** (-power / 2)
    return replace(scaling, genes=genes)


def _variances(dataset: Dataset, scaling: Scaling) -> tuple[np.ndarray, np.ndarray]:
    """Variance (M,) of every gene before its factor, and where it is more than rounding."""
    sums, squares = np.zeros(dataset.shape[1]), np.zeros(dataset.shape[1])
    for start in range(0, dataset.shape[0], _CHUNK):
        stop = min(start + _CHUNK, dataset.shape[0])
        counts = dataset.rows(start, stop)
        values = scaling.values(counts.data, counts.indptr, start, stop).astype(np.float64)
        if scaling.transform == "none":
            values *= np.repeat(scaling.cells[start:stop], np.diff(counts.indptr))
        sums += np.bincount(counts.indices, values, dataset.shape[1])
        squares += np.bincount(counts.indices, values**2, dataset.shape[1])
        dataset.release()
    variance = squares / dataset.shape[0] - (sums / dataset.shape[0]) ** 2
    # A gene that is the same everywhere has nothing to be scaled by; rounding may leave it a speck
    # of variance.
    return variance, variance > 1e-12 * squares / dataset.shape[0]


def scaled_matrix(counts: sp.csr_matrix, scaling: Scaling) -> sp.csr_matrix:
    """X' (N, M) of a small matrix of counts (N, M), formed: for tests, projections and reports."""
    values = scaling.values(counts.data, counts.indptr, 0, counts.shape[0]).astype(np.float64)
    formed = sp.csr_matrix((values, counts.indices, counts.indptr), shape=counts.shape)
    return (sp.diags(scaling.outer_cells) @ formed @ sp.diags(scaling.genes)).tocsr()
