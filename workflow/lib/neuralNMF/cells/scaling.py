"""Normalisation of counts, held as two vectors and the name of a function.

X' = diag(cells) f(X) diag(genes) with cells (N,), genes (M,) and an f that keeps zeros zero, so
that a sparse X stays sparse and X' need not be formed. Where cells are of batches, the values f(X)
of a batch's cells are divided by its factors (docs/batches.md).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import scipy.sparse as sp

from neuralNMF.batches.factors import Batches
from neuralNMF.io.dataset import Dataset
from neuralNMF.kernels.sparse import multiply_rows
from neuralNMF.kernels.vectors import read_only

_CHUNK = 50_000


@dataclass(frozen=True)
class BatchScale:
    """What the values of each cell are multiplied by, for its batch.

    Parameters
    ----------
    codes : ndarray of int32, shape (N,)
        The batch of each cell.
    factors : ndarray, shape (B, M)
        In the precision of the values.
    """

    codes: np.ndarray
    factors: np.ndarray

    def multiply(
        self, values: np.ndarray, indptr: np.ndarray, indices: np.ndarray, start: int, stop: int
    ) -> None:
        """Multiply the values of the non-zeros of the cells ``start`` to ``stop``, in place."""
        rows = np.asarray(indptr, dtype=np.int64), np.asarray(indices, dtype=np.int32)
        columns = read_only(rows[1].view(np.uint32))
        multiply_rows(rows[0], columns, self.codes[start:stop], self.factors, values)

    def of_cells(self, cells: np.ndarray) -> BatchScale:
        """The same for some of the cells."""
        return replace(self, codes=self.codes[cells])


def batch_scale(
    batches: Batches | None, obs: pd.DataFrame, dtype: type, genes: np.ndarray | None = None
) -> BatchScale | None:
    """The scale of cells by their batches, on all genes or some; None where there are none."""
    if batches is None:
        return None
    factors = batches.inverses() if genes is None else batches.inverses()[:, genes]
    return BatchScale(batches.codes(obs), np.ascontiguousarray(factors, dtype=dtype))


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
    batches : BatchScale or None
        Of the values, after the transform.
    """

    cells: np.ndarray
    genes: np.ndarray
    transform: str = "none"
    dtype: type = np.float32
    target_total: float | None = None
    batches: BatchScale | None = None

    @property
    def outer_cells(self) -> np.ndarray:
        """The factor (N,) that is left to the products, once the values have been transformed."""
        return self.cells if self.transform == "none" else np.ones_like(self.cells)

    def of_cells(self, cells: np.ndarray) -> Scaling:
        """The same for some of the cells."""
        batches = None if self.batches is None else self.batches.of_cells(cells)
        return replace(self, cells=self.cells[cells], batches=batches)

    def values(
        self, data: np.ndarray, indptr: np.ndarray, indices: np.ndarray, start: int, stop: int
    ) -> np.ndarray:
        """The values of the non-zeros of some cells, transformed, and divided for their batches.

        Parameters
        ----------
        data : ndarray, shape (nnz,)
            Counts of the cells' non-zeros.
        indptr : ndarray, shape (stop - start + 1,)
            Where each cell's non-zeros begin.
        indices : ndarray, shape (nnz,)
            The gene of each.
        start, stop : int
            First cell and the one past the last.

        Returns
        -------
        ndarray, shape (nnz,)
            ``data`` itself without a transform and without batches.
        """
        values = self._transformed(data, indptr, start, stop)
        if self.batches is not None:
            values = data.astype(self.dtype) if values is data else values
            self.batches.multiply(values, indptr, indices, start, stop)
        return values

    def _transformed(
        self, data: np.ndarray, indptr: np.ndarray, start: int, stop: int
    ) -> np.ndarray:
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
    batches: Batches | None = None,
) -> Scaling:
    """Find the factors of cells and genes that a normalisation asks for.

    Parameters
    ----------
    dataset : Dataset
        N cells, M genes, or a range of its cells: the factors are those that all cells ask for.
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
    batches : Batches or None
        Whose factors are taken out of the values; a gene's standard deviation is that without them.

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
        target = dataset.team.median(totals[counted])
        cells[counted] = target / totals[counted]
    of_batches = batch_scale(batches, dataset.obs, dtype)
    scaling = Scaling(cells, genes, transform, dtype, target, of_batches)
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
        values = scaling.values(counts.data, counts.indptr, counts.indices, start, stop)
        values = values.astype(np.float64)
        if scaling.transform == "none":
            values *= np.repeat(scaling.cells[start:stop], np.diff(counts.indptr))
        sums += np.bincount(counts.indices, values, dataset.shape[1])
        squares += np.bincount(counts.indices, values**2, dataset.shape[1])
        dataset.release()
    dataset.team.add(sums, squares)
    variance = squares / dataset.all_cells - (sums / dataset.all_cells) ** 2
    # A gene that is the same everywhere has nothing to be scaled by; rounding may leave it a speck
    # of variance.
    return variance, variance > 1e-12 * squares / dataset.all_cells


def scaled_matrix(counts: sp.csr_matrix, scaling: Scaling) -> sp.csr_matrix:
    """X' (N, M) of a small matrix of counts (N, M), formed: for tests, projections and reports."""
    values = scaling.values(counts.data, counts.indptr, counts.indices, 0, counts.shape[0])
    arrays = (values.astype(np.float64), counts.indices, counts.indptr)
    formed = sp.csr_matrix(arrays, shape=counts.shape)
    return (sp.diags(scaling.outer_cells) @ formed @ sp.diags(scaling.genes)).tocsr()
