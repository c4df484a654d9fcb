"""What a cell's usage is found by: the programs of all layers as the first layer's usage sees them.

With the programs held, the usage u of layer 1 (k_1,) of a cell x (M,) minimises, over u >= 0,

    sum_l w_l D(x, u R_l),  R_l = Theta_2 ... Theta_l beta_l (k_1, M),

D the squared error or the Poisson deviance, as in training; the usage of layer l is u Theta_2 ...
Theta_l. The weights w_l say which layers' errors training lowered by Theta_1 (`usage_weights`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch

from neuralNMF.cells.counts import FLOOR, rows_counts
from neuralNMF.cells.products import Products, rows_products
from neuralNMF.cells.scaling import Scaling, batch_scale
from neuralNMF.errors import InputError
from neuralNMF.io.model import Model
from neuralNMF.kernels.poisson_usage import poisson_usage_rows
from neuralNMF.kernels.vectors import LANES, aligned_zeros, blocks_of
from neuralNMF.options import POISSON, LayerOptions
from neuralNMF.poisson.deviance import deviance_of
from neuralNMF.solvers.nnls import nnls
from neuralNMF.threads import SERIAL, Threads

# Where the last layer's error alone is trained it leaves open what of a coarse program is which
# fine one's: of all usages with the same error, one near the least of the first layer's.
_TIE = 1e-3


@dataclass(frozen=True)
class CellUsage:
    """The usage of some cells.

    Attributes
    ----------
    theta : ndarray of float64, (n, k_1)
        Theta_1, zero for a cell without counts.
    cell_scale : ndarray of float64, (n,)
        Factor of each cell, as ``obs["cell_scale"]`` of a model.
    """

    theta: np.ndarray
    cell_scale: np.ndarray


class Prepared(Protocol):
    """Cells made ready for programs that are held: once for all programs of one scale."""

    @property
    def scale(self) -> np.ndarray:
        """Factor of each cell, where the model's genes are all there: float64, (n,)."""


Cells = TypeVar("Cells", bound=Prepared)


class HeldPrograms(Protocol[Cells]):
    """Programs that are held, of either kind of model."""

    def prepared(self, counts: sp.csr_matrix, obs: pd.DataFrame) -> Cells:
        """Make cells ready.

        Parameters
        ----------
        counts : csr_matrix, (n, M)
            Of the genes that are held, in their order, with sorted indices.
        obs : DataFrame
            Theirs: ``total_counts``, over all genes of their input, and the column of their batches
            where the model has any.
        """

    def usage(self, cells: Cells, start: np.ndarray | None = None) -> CellUsage:
        """The usage of cells.

        Parameters
        ----------
        cells : Prepared
        start : ndarray or None, (n, k_1)
            Usage that is near, in the units of the result.
        """

    def error(self, cells: Cells, theta: np.ndarray) -> float:
        """Squared error or deviance of the last layer, summed over cells and genes.

        Parameters
        ----------
        cells : Prepared
            With all genes of the model.
        theta : ndarray of float64, (n, k_1)
            Their Theta_1.
        """


def usage_weights(options: LayerOptions, depth: int) -> list[float]:
    """The weight w_l of each layer's error in what training lowers by Theta_1.

    Parameters
    ----------
    options : LayerOptions
        Of the last layer that was trained together with Theta_1.
    depth : int
        Its number.
    """
    if options.loss in ("nested", "nested_poisson"):
        return [1.0] * depth
    first = [1.0, *[0.0] * (depth - 1)]
    if options.loss == "energy" or depth == 1:
        return first
    return [_TIE, *[0.0] * (depth - 2), 1.0]


def held_programs(
    model: Model, genes: np.ndarray | None = None, threads: Threads = SERIAL
) -> HeldPrograms[Any]:
    """The programs of a model, held, on all of its genes or some of them.

    Parameters
    ----------
    model : Model
        With what new cells need in its ``info``.
    genes : ndarray of int, (m,), or None
        Which of its genes there are, in the order of the counts to come; None for all.
    threads : Threads

    Raises
    ------
    InputError
        The model was fitted by a version that did not save what new cells need.
    """
    missing = {"usage_weights", "target_total"} - set(model.info)
    if missing:
        raise InputError(
            f"The model was fitted by an older version and does not say how its cells were scaled "
            f"({', '.join(sorted(missing))}): fit it again."
        )
    columns = np.arange(len(model.var)) if genes is None else genes
    chains = [np.eye(model.layers[0])]
    for theta in model.thetas[1:]:
        chains.append(chains[-1] @ theta)
    # One row a gene, (L, M, k_1).
    behind = np.stack(
        [(chain @ beta).T for chain, beta in zip(chains, model.betas, strict=True)]
    ).astype(np.float64)
    weights = np.array(model.info["usage_weights"], dtype=np.float64)
    kind = PoissonPrograms if model.info["loss"] in POISSON else SquarePrograms
    return kind(model, columns, behind, weights, threads)


@dataclass(frozen=True)
class SquareCells:
    """Cells for `SquarePrograms`: their scale, and X'."""

    scale: np.ndarray
    products: Products


class SquarePrograms:
    """Programs of a model of X', held: exact non-negative least squares.

    Parameters
    ----------
    model : Model
    genes : ndarray of int, (m,)
    behind : ndarray of float64, (L, M, k_1)
        R_l transposed, on all M genes of the model.
    weights : ndarray of float64, (L,)
    threads : Threads
    """

    def __init__(
        self,
        model: Model,
        genes: np.ndarray,
        behind: np.ndarray,
        weights: np.ndarray,
        threads: Threads,
    ) -> None:
        options = model.info["options"]
        self._transform = options["transform"]
        self._target: float | None = model.info["target_total"]
        self._genes = model.var["gene_scale"].to_numpy(np.float64)[genes]
        self._batches, self._columns = model.batches, genes
        self._threads = threads
        there = behind[:, genes]
        self._right = torch.from_numpy(np.tensordot(weights, there, 1))
        self._gram = torch.from_numpy(
            sum((w * r.T @ r for w, r in zip(weights, there, strict=True)), np.zeros(()))
        )
        self._last = torch.from_numpy(np.ascontiguousarray(there[-1]))

    def prepared(self, counts: sp.csr_matrix, obs: pd.DataFrame) -> SquareCells:
        """See `HeldPrograms.prepared`."""
        totals = obs["total_counts"].to_numpy(np.float64)
        cells = np.ones(counts.shape[0])
        if self._target is not None:
            cells[totals > 0] = self._target / totals[totals > 0]
        batches = batch_scale(self._batches, obs, np.float64, self._columns)
        scaling = Scaling(cells, self._genes, self._transform, np.float64, batches=batches)
        arrays = counts.data, counts.indptr, counts.indices
        values = scaling.values(*arrays, 0, counts.shape[0])
        matrix = sp.csr_matrix((values, counts.indices, counts.indptr), shape=counts.shape)
        products = rows_products(
            matrix, scaling.outer_cells, self._genes, dtype=torch.float64, threads=self._threads
        )
        return SquareCells(cells, products)

    def usage(self, cells: SquareCells, start: np.ndarray | None = None) -> CellUsage:
        """See `HeldPrograms.usage`; ``start`` is not needed."""
        cross = cells.products.times(self._right)
        return CellUsage(nnls(self._gram, cross, threads=self._threads).numpy(), cells.scale)

    def error(self, cells: SquareCells, theta: np.ndarray) -> float:
        """See `HeldPrograms.error`."""
        usage = torch.from_numpy(theta)
        fit = (cells.products.times(self._last) * usage).sum()
        square = ((usage @ (self._last.T @ self._last)) * usage).sum()
        return cells.products.square_sum - 2 * fit.item() + square.item()


@dataclass(frozen=True)
class PoissonCells:
    """Cells for `PoissonPrograms`: their counts, these in all, and the cells' scale."""

    counts: sp.csr_matrix
    sizes: np.ndarray
    scale: np.ndarray


class PoissonPrograms:
    """Programs of a Poisson model, held: the maximum of the likelihood.

    A cell's library size is what it would have over all genes of the model, by its usage, beside
    the target; with all genes there that is its total.

    The parameters are those of `SquarePrograms`.
    """

    def __init__(
        self,
        model: Model,
        genes: np.ndarray,
        behind: np.ndarray,
        weights: np.ndarray,
        threads: Threads,
    ) -> None:
        self._target: float = model.info["target_total"]
        self._batches, self._columns = model.batches, genes
        self._threads = threads
        self._weights = weights
        self._programs = np.ascontiguousarray(behind[:, genes])
        layers, there, rank = self._programs.shape
        self._padded = aligned_zeros((layers, there, len(blocks_of(rank)) * LANES), np.float64)
        self._padded[:, :, :rank] = self._programs
        self._mass = weights @ self._programs.sum(1)
        # Summed as above: the same, to the bit, where all genes are there in their order.
        everywhere = weights @ behind.sum(1)
        self._whole = np.divide(
            everywhere, self._mass, out=np.zeros_like(everywhere), where=self._mass > 0
        )

    def prepared(self, counts: sp.csr_matrix, obs: pd.DataFrame) -> PoissonCells:
        """See `HeldPrograms.prepared`; the totals are not needed."""
        sizes = np.asarray(counts.sum(axis=1, dtype=np.float64)).ravel()
        # Copies: for arrays that cannot be written the loop would be compiled once more.
        types = np.float64, np.int32, np.int64
        parts = counts.data, counts.indices, counts.indptr
        arrays = tuple(part.astype(kind) for part, kind in zip(parts, types, strict=True))
        own = sp.csr_matrix(arrays, shape=counts.shape)
        batches = batch_scale(self._batches, obs, np.float64, self._columns)
        if batches is not None:
            batches.multiply(own.data, own.indptr, own.indices, 0, own.shape[0])
        return PoissonCells(own, sizes, self._target / np.where(sizes > 0, sizes, self._target))

    def usage(self, cells: PoissonCells, start: np.ndarray | None = None) -> CellUsage:
        """See `HeldPrograms.usage`."""
        counts, sizes = cells.counts, cells.sizes
        expected = np.zeros((counts.shape[0], self._mass.size))
        if start is not None:
            expected[:] = start * (sizes / self._target)[:, None]
        self._threads.run(
            lambda first, past: poisson_usage_rows(
                first,
                past,
                counts.indptr,
                counts.indices,
                counts.data,
                self._padded,
                self._weights,
                self._mass,
                FLOOR,
                start is not None,
                expected,
                blocks_of(expected.shape[1]),
            ),
            self._threads.split(counts.shape[0]),
        )
        # Beside each program's rates on the genes there, those on all genes.
        rates = expected * self._mass
        there = rates.sum(1)
        whole = (rates * self._whole).sum(1)
        sizes = sizes * np.divide(whole, there, out=np.ones_like(there), where=there > 0)
        sizes /= self._target
        positive = np.where(sizes > 0, sizes, 1.0)
        return CellUsage(expected / positive[:, None], 1.0 / positive)

    def error(self, cells: PoissonCells, theta: np.ndarray) -> float:
        """See `HeldPrograms.error`."""
        held = rows_counts(
            cells.counts, 1.0 / cells.scale, dtype=torch.float64, threads=self._threads
        )
        usage, last = torch.from_numpy(theta), torch.from_numpy(self._programs[-1])
        return deviance_of(held.rates(usage, last), usage, last, held)
