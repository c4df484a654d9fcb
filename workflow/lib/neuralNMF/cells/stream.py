"""The cells of a data set as blocks for a fit: held in memory or streamed, dense or sparse.

Fits by squared error get `Products`, Poisson models get `Counts`; starts are tried on a sample of
the cells.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from neuralNMF.batches.factors import Batches
from neuralNMF.cells.block import Block
from neuralNMF.cells.counts import Counts, library_size, rows_counts
from neuralNMF.cells.place import Place
from neuralNMF.cells.products import Products, rows_products, tensor_products
from neuralNMF.cells.scaling import Scaling, batch_scale
from neuralNMF.cells.sums import block_borders
from neuralNMF.io.dataset import Dataset

_log = logging.getLogger(__name__)

# From this share of non-zeros on, a dense matrix takes no more memory than a sparse one
# (4 against 8 bytes a value).
DENSE_FROM = 0.5
# Starts are tried on so many cells at the most.
SAMPLE_CELLS = 20_000
_CHUNK = 50_000

# indptr, indices and data of some cells.
_Csr = tuple[np.ndarray, np.ndarray, np.ndarray]
# First cell, past the last cell, and these cells.
_Run = tuple[int, int, Block]


def is_dense(counts: Dataset | sp.csr_matrix) -> bool:
    """Whether least squares multiply by these counts (N, M) as by a dense matrix."""
    cells, genes = counts.shape
    return counts.nnz >= DENSE_FROM * cells * genes


def dataset_products(
    dataset: Dataset, scaling: Scaling, place: Place, data_mem_size: int | None
) -> Products:
    """The products of a data set.

    Parameters
    ----------
    dataset : Dataset
        N cells, M genes.
    scaling : Scaling
    place : Place
    data_mem_size : int or None
        Cells held in memory; with fewer than there are, X is streamed, in whole blocks of cells
        (`cells.sums.block_borders`) and so at least one block at a time.

    Returns
    -------
    Products
    """
    dense = is_dense(dataset)
    kind = "multiplied as a dense matrix" if dense else "multiplied as a sparse matrix"
    _log_size(dataset, kind, data_mem_size)

    def block(start: int, stop: int, arrays: _Csr, borders: np.ndarray) -> Block:
        indptr, indices, data = arrays
        values = scaling.values(data, indptr, indices, start, stop)
        make = place.dense if dense else place.rows
        scale = scaling.outer_cells[start:stop]
        return make(indptr, indices, values, scale, dataset.shape[1], borders)

    blocks = _blocks(dataset, block, data_mem_size, place, dense=dense)
    return Products(blocks, dataset.shape, scaling.genes, place)


def count_scaling(dataset: Dataset, batches: Batches | None) -> Scaling:
    """The way from raw counts to what Poisson models see: themselves, without batches."""
    cells, genes = (np.ones(size) for size in dataset.shape)
    scale = batch_scale(batches, dataset.obs, np.float32)
    return Scaling(cells, genes, dtype=np.float32, batches=scale)


def dataset_counts(
    dataset: Dataset, scaling: Scaling, place: Place, data_mem_size: int | None
) -> Counts:
    """The raw counts of a data set, divided for their batches, with the cells' library sizes.

    The parameters are those of `dataset_products`, ``scaling`` is that of `count_scaling`.
    """
    _log_size(dataset, "raw counts", data_mem_size)
    sizes = library_size(dataset.obs["selected_counts"].to_numpy(np.float64))

    def block(start: int, stop: int, arrays: _Csr, borders: np.ndarray) -> Block:
        indptr, indices, data = arrays
        values = scaling.values(data, indptr, indices, start, stop)
        return place.rows(indptr, indices, values, sizes[start:stop], dataset.shape[1], borders)

    blocks = _blocks(dataset, block, data_mem_size, place)
    return Counts(blocks, dataset.shape, sizes, place)


def draw_sample(cells: int, generator: torch.Generator) -> np.ndarray:
    """Draw at most SAMPLE_CELLS of N cells; all of them where they are few.

    Parameters
    ----------
    cells : int
        N.
    generator : torch.Generator

    Returns
    -------
    ndarray of int64, shape (n,)
        Rising indices.
    """
    if cells <= SAMPLE_CELLS:
        return np.arange(cells)
    return torch.randperm(cells, generator=generator)[:SAMPLE_CELLS].sort().values.numpy()


def sample_products(
    dataset: Dataset, scaling: Scaling, cells: np.ndarray, place: Place
) -> Products:
    """The products of some cells of a data set, in memory on the host.

    Parameters
    ----------
    dataset : Dataset
    scaling : Scaling
        Of the whole data set.
    cells : ndarray of int, shape (n,)
        Rising indices.
    place : Place
        Its precision and threads are taken.
    """
    sample_scaling = scaling.of_cells(cells)
    matrix = sample_rows(dataset, cells)
    arrays = matrix.data, matrix.indptr, matrix.indices
    matrix.data = sample_scaling.values(*arrays, 0, cells.size)
    factors = sample_scaling.outer_cells, scaling.genes
    if is_dense(matrix):
        dense = torch.as_tensor(matrix.toarray(), dtype=place.dtype)
        return tensor_products(dense, *factors, threads=place.threads)
    return rows_products(matrix, *factors, dtype=place.dtype, threads=place.threads)


@dataclass
class CountsSample:
    """Some cells of a data set, in memory, that starts of Poisson models are tried on.

    Parameters
    ----------
    cells : Tensor of int64, shape (n,)
        Rising indices.
    counts : Counts
        Theirs, on the device of the fit, with the library sizes of the data set.
    products : Products
        Of their profiles at one total, on the host.
    """

    cells: Tensor
    counts: Counts
    products: Products


def counts_sample(
    dataset: Dataset, scaling: Scaling, counts: Counts, generator: torch.Generator, place: Place
) -> CountsSample:
    """Draw the cells that starts of Poisson models are tried on.

    Parameters
    ----------
    dataset : Dataset
    scaling : Scaling
        Of `count_scaling`.
    counts : Counts
        Of the whole data set.
    generator : torch.Generator
    place : Place

    Returns
    -------
    CountsSample
        At most SAMPLE_CELLS cells; all of them where they are few.
    """
    chosen = draw_sample(counts.shape[0], generator)
    cells = torch.from_numpy(chosen)
    matrix = sample_rows(dataset, chosen)
    arrays = matrix.data, matrix.indptr, matrix.indices
    matrix.data = scaling.of_cells(chosen).values(*arrays, 0, chosen.size)
    sizes = counts.scale[cells].numpy()
    profiles = 1.0 / np.where(sizes > 0, sizes, 1.0)
    products = rows_products(matrix, profiles, dtype=place.dtype, threads=place.threads)
    if chosen.size == counts.shape[0]:
        return CountsSample(cells, counts, products)
    sample = rows_counts(
        matrix, sizes, device=place.device, dtype=place.dtype, threads=place.threads
    )
    return CountsSample(cells, sample, products)


def sample_rows(dataset: Dataset, cells: np.ndarray) -> sp.csr_matrix:
    """The counts of some cells of a data set, copied.

    Parameters
    ----------
    dataset : Dataset
    cells : ndarray of int, shape (n,)
        Rising indices.

    Returns
    -------
    csr_matrix, shape (n, M)
    """
    parts = []
    for start in range(0, dataset.shape[0], _CHUNK):
        stop = min(start + _CHUNK, dataset.shape[0])
        inside = cells[(cells >= start) & (cells < stop)]
        parts.append(dataset.rows(start, stop)[inside - start])
        dataset.release()
    return sp.vstack(parts, format="csr")


def _blocks(
    dataset: Dataset,
    make: Callable[[int, int, _Csr, np.ndarray], Block],
    data_mem_size: int | None,
    place: Place,
    *,
    dense: bool = False,
) -> Callable[[], Iterable[tuple[int, int, Block]]]:
    """The cells of a data set: all held in memory, or streamed anew at each call.

    make: from (first cell, past the last cell, their indptr, indices and data, borders of blocks).
    """
    cells, genes = dataset.shape
    borders = block_borders(dataset.indptr, genes, dense=dense)
    if data_mem_size is None or data_mem_size >= cells:
        held = [(0, cells, make(0, cells, (dataset.indptr, *dataset.read()), borders))]
        return lambda: held

    def stream() -> Iterator[tuple[int, int, Block]]:
        for inside in _whole_blocks(borders, data_mem_size):
            start, stop = int(inside[0]), int(inside[-1])
            indices, data = dataset.part(int(dataset.indptr[start]), int(dataset.indptr[stop]))
            arrays = dataset.indptr[start : stop + 1], indices, data
            yield start, stop, make(start, stop, arrays, inside - start)
            dataset.release()

    # Another device has copies: the next may be read while these are worked on.
    return stream if place.device.type == "cpu" else lambda: _ahead(stream())


def _ahead(blocks: Iterator[_Run]) -> Iterator[_Run]:
    """The same, each made by another thread while the one before it is worked on."""
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, blocks, None)
        while (block := coming.result()) is not None:
            coming = pool.submit(next, blocks, None)
            yield block


def cells_held(dataset: Dataset, data_mem_size: int | None, *, dense: bool) -> int:
    """Cells of a data set that are in memory at a time, at the most."""
    cells, genes = dataset.shape
    if data_mem_size is None or data_mem_size >= cells:
        return cells
    borders = block_borders(dataset.indptr, genes, dense=dense)
    return max(int(run[-1] - run[0]) for run in _whole_blocks(borders, data_mem_size))


def _whole_blocks(borders: np.ndarray, data_mem_size: int) -> Iterator[np.ndarray]:
    """Runs of borders, of as many whole blocks as ``data_mem_size`` cells hold, at least one."""
    first = 0
    while first < borders.size - 1:
        last = int(np.searchsorted(borders, borders[first] + data_mem_size, side="right")) - 1
        last = max(last, first + 1)
        yield borders[first : last + 1]
        first = last


def _log_size(dataset: Dataset, kind: str, data_mem_size: int | None) -> None:
    cells, genes = dataset.shape
    streamed = data_mem_size is not None and data_mem_size < cells
    _log.info(
        "%d cells x %d genes, %d non-zeros (%.1f %%), %s, %s",
        cells,
        genes,
        dataset.nnz,
        100 * dataset.nnz / (cells * genes),
        kind,
        f"streamed {data_mem_size} cells at a time" if streamed else "held in memory",
    )
