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
from neuralNMF.team import Team

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


def is_dense(cells: int, genes: int, nonzeros: int) -> bool:
    """Whether least squares multiply by so many counts of N cells, M genes as a dense matrix."""
    return nonzeros >= DENSE_FROM * cells * genes


def is_dense_dataset(dataset: Dataset) -> bool:
    """`is_dense` of all cells of a data set, whoever holds them."""
    return is_dense(dataset.all_cells, dataset.shape[1], dataset.all_nonzeros)


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
    dense = is_dense_dataset(dataset)
    kind = "multiplied as a dense matrix" if dense else "multiplied as a sparse matrix"
    _log_size(dataset, kind, data_mem_size)

    def block(start: int, stop: int, arrays: _Csr, borders: np.ndarray) -> Block:
        indptr, indices, data = arrays
        values = scaling.values(data, indptr, indices, start, stop)
        make = place.dense if dense else place.rows
        scale = scaling.outer_cells[start:stop]
        return make(indptr, indices, values, scale, dataset.shape[1], borders)

    blocks = _blocks(dataset, block, data_mem_size, place, dense=dense)
    return Products(blocks, dataset.shape, scaling.genes, place, dataset.team)


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
    sizes = library_size(dataset.obs["selected_counts"].to_numpy(np.float64), dataset.team)

    def block(start: int, stop: int, arrays: _Csr, borders: np.ndarray) -> Block:
        indptr, indices, data = arrays
        values = scaling.values(data, indptr, indices, start, stop)
        return place.rows(indptr, indices, values, sizes[start:stop], dataset.shape[1], borders)

    blocks = _blocks(dataset, block, data_mem_size, place)
    return Counts(blocks, dataset.shape, sizes, place, team=dataset.team)


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


def draw_rows(
    dataset: Dataset, rank: int, generator: torch.Generator, dtype: torch.dtype
) -> Tensor:
    """Draw a row of each cell uniformly from (0, 1), on the host so that every device starts alike.

    A cell's row is the same whoever holds it: the rows of all cells are drawn, some at a time.

    Parameters
    ----------
    dataset : Dataset
        N cells, all or a range of them.
    rank : int
        k.
    generator : torch.Generator
    dtype : torch.dtype

    Returns
    -------
    Tensor, shape (N, k)
    """
    first = 0 if dataset.share is None else dataset.share.first
    drawn = torch.empty((dataset.shape[0], rank), dtype=dtype)
    for start in range(0, dataset.all_cells, _CHUNK):
        stop = min(start + _CHUNK, dataset.all_cells)
        rows = torch.rand((stop - start, rank), generator=generator, dtype=dtype)
        low, high = max(start, first), min(stop, first + dataset.shape[0])
        if low < high:
            drawn[low - first : high - first] = rows[low - start : high - start]
    return drawn


def sample_products(
    dataset: Dataset, scaling: Scaling, cells: np.ndarray, place: Place
) -> Products:
    """The products of some cells of a data set, in memory on the host of every process.

    Parameters
    ----------
    dataset : Dataset
    scaling : Scaling
        Of its cells.
    cells : ndarray of int, shape (n,)
        Rising indices, among all cells, whoever holds them.
    place : Place
        Its precision and threads are taken.
    """
    own = dataset.own(cells)
    sample_scaling = scaling.of_cells(own)
    matrix = sample_rows(dataset, own)
    arrays = matrix.data, matrix.indptr, matrix.indices
    matrix.data = sample_scaling.values(*arrays, 0, own.size)
    matrix, scale = _of_all(dataset.team, matrix, sample_scaling.outer_cells)
    factors = scale, scaling.genes
    rows, genes = matrix.shape
    if is_dense(rows, genes, matrix.nnz):
        dense = torch.as_tensor(matrix.toarray(), dtype=place.dtype)
        return tensor_products(dense, *factors, threads=place.threads)
    return rows_products(matrix, *factors, dtype=place.dtype, threads=place.threads)


@dataclass
class CountsSample:
    """Some cells of a data set, in memory, that starts of Poisson models are tried on.

    Of several processes each has all of it.

    Parameters
    ----------
    cells : Tensor of int64, shape (n,)
        Rising indices.
    counts : Counts
        Theirs, on the device of the fit, with the library sizes of the data set.
    products : Products
        Of their profiles at one total, on the host.
    own : slice or None
        Where the sample is all cells: which of them this process holds; else None.
    """

    cells: Tensor
    counts: Counts
    products: Products
    own: slice | None


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
        Of the data set.
    generator : torch.Generator
    place : Place

    Returns
    -------
    CountsSample
        At most SAMPLE_CELLS cells; all of them where they are few.
    """
    chosen = draw_sample(dataset.all_cells, generator)
    own = dataset.own(chosen)
    matrix = sample_rows(dataset, own)
    arrays = matrix.data, matrix.indptr, matrix.indices
    matrix.data = scaling.of_cells(own).values(*arrays, 0, own.size)
    matrix, sizes = _of_all(dataset.team, matrix, counts.scale[torch.from_numpy(own)].numpy())
    profiles = 1.0 / np.where(sizes > 0, sizes, 1.0)
    products = rows_products(matrix, profiles, dtype=place.dtype, threads=place.threads)
    cells, held = torch.from_numpy(chosen), None
    if chosen.size == dataset.all_cells:
        first = 0 if dataset.share is None else dataset.share.first
        held = slice(first, first + dataset.shape[0])
        if dataset.team.size == 1:
            return CountsSample(cells, counts, products, held)
    sample = rows_counts(
        matrix, sizes, device=place.device, dtype=place.dtype, threads=place.threads
    )
    return CountsSample(cells, sample, products, held)


def _of_all(
    team: Team, matrix: sp.csr_matrix, vector: np.ndarray
) -> tuple[sp.csr_matrix, np.ndarray]:
    """The rows and the vectors of all processes, one below the other."""
    parts = team.gathered((matrix, vector))
    if len(parts) == 1:
        return parts[0]
    matrices, vectors = zip(*parts, strict=True)
    return sp.vstack(matrices, format="csr"), np.concatenate(vectors)


def sample_rows(dataset: Dataset, cells: np.ndarray) -> sp.csr_matrix:
    """The counts of some cells of a data set, copied.

    Parameters
    ----------
    dataset : Dataset
    cells : ndarray of int, shape (n,)
        Rising indices, of cells that are held here.

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
    cells = dataset.shape[0]
    borders = _borders(dataset, dense=dense)
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
    cells = dataset.shape[0]
    if data_mem_size is None or data_mem_size >= cells:
        return cells
    borders = _borders(dataset, dense=dense)
    return max(int(run[-1] - run[0]) for run in _whole_blocks(borders, data_mem_size))


def _borders(dataset: Dataset, *, dense: bool) -> np.ndarray:
    """The borders of the blocks of a data set's cells; of a range of its cells those inside it.

    They are those of the whole data set, so that sums do not depend on who holds a block.
    """
    cells, genes = dataset.shape
    if dataset.share is None:
        return block_borders(dataset.indptr, genes, dense=dense)
    first = dataset.share.first
    borders = block_borders(dataset.share.indptr, genes, dense=dense) - first
    return borders[(borders >= 0) & (borders <= cells)]


def _whole_blocks(borders: np.ndarray, data_mem_size: int) -> Iterator[np.ndarray]:
    """Runs of borders, of as many whole blocks as ``data_mem_size`` cells hold, at least one."""
    first = 0
    while first < borders.size - 1:
        last = int(np.searchsorted(borders, borders[first] + data_mem_size, side="right")) - 1
        last = max(last, first + 1)
        yield borders[first : last + 1]
        first = last


def _log_size(dataset: Dataset, kind: str, data_mem_size: int | None) -> None:
    cells, genes = dataset.all_cells, dataset.shape[1]
    streamed = data_mem_size is not None and data_mem_size < dataset.shape[0]
    _log.info(
        "%d cells x %d genes, %d non-zeros (%.1f %%), %s, %s",
        cells,
        genes,
        dataset.all_nonzeros,
        100 * dataset.all_nonzeros / (cells * genes),
        kind,
        f"streamed {data_mem_size} cells at a time" if streamed else "held in memory",
    )
