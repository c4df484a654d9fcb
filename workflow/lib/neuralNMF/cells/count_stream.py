"""From a data set to the counts of a Poisson fit: in memory or streamed."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from neuralNMF.cells.count_rows import Block, RowsBlock
from neuralNMF.cells.count_tensors import TensorBlock
from neuralNMF.cells.counts import Counts, library_size, rows_counts, tensor_counts
from neuralNMF.cells.products import Products, rows_products
from neuralNMF.cells.stream import cell_blocks, sample_rows
from neuralNMF.io.dataset import Dataset
from neuralNMF.least_squares.starts import SAMPLE_CELLS

_log = logging.getLogger(__name__)


def dataset_counts(
    dataset: Dataset,
    *,
    device: torch.device,
    dtype: torch.dtype,
    data_mem_size: int | None,
    threads: int,
) -> Counts:
    """The raw counts of a data set with the cells' library sizes.

    data_mem_size: cells held in memory; with fewer than there are, X is streamed.
    """
    cells, genes = dataset.shape
    streamed = data_mem_size is not None and data_mem_size < cells
    _log.info(
        "%d cells x %d genes, %d non-zeros (%.1f %%), raw counts, %s",
        cells,
        genes,
        dataset.nnz,
        100 * dataset.nnz / (cells * genes),
        f"streamed {data_mem_size} cells at a time" if streamed else "held in memory",
    )
    sizes = library_size(dataset.obs["selected_counts"].to_numpy(np.float64))

    def block(start: int, stop: int, indices: np.ndarray, data: np.ndarray) -> Block:
        indptr = dataset.indptr[start : stop + 1]
        if device.type == "cpu":
            return RowsBlock(indptr, indices, data, sizes[start:stop], genes, threads)
        # Copies: torch takes no read-only arrays, and a mapped one must not outlive its pages.
        return TensorBlock(
            torch.as_tensor(indptr - indptr[0]).to(device),
            torch.as_tensor(indices.astype(np.int64)).to(device),
            torch.as_tensor(np.array(data)).to(device=device, dtype=dtype),
            torch.as_tensor(sizes[start:stop]).to(dtype).to(device),
        )

    blocks = cell_blocks(dataset, block, data_mem_size)
    return Counts(blocks, dataset.shape, sizes, device=device, dtype=dtype)


@dataclass
class Sample:
    """Some cells of a data set, in memory, that starts are tried on.

    cells (n,) int64, rising; counts: theirs, on the device of the fit, with the library sizes of
    the data set; products: of their profiles at one total, on the host.
    """

    cells: Tensor
    counts: Counts
    products: Products


def dataset_sample(
    dataset: Dataset, counts: Counts, generator: torch.Generator, *, threads: int
) -> Sample:
    """At most SAMPLE_CELLS cells, drawn at random where there are more; counts: of them all."""
    every = counts.shape[0]
    cells = torch.arange(every)
    if every > SAMPLE_CELLS:
        cells = torch.randperm(every, generator=generator)[:SAMPLE_CELLS].sort().values
    matrix = sample_rows(dataset, cells.numpy())
    sizes = counts.scale[cells].numpy()
    profiles = 1.0 / np.where(sizes > 0, sizes, 1.0)
    products = rows_products(
        matrix, profiles, np.ones(counts.shape[1]), dtype=counts.dtype, threads=threads
    )
    if every <= SAMPLE_CELLS:
        return Sample(cells, counts, products)
    if counts.device.type == "cpu":
        own = rows_counts(matrix, sizes, dtype=counts.dtype, threads=threads)
    else:
        own = tensor_counts(matrix, sizes, device=counts.device, dtype=counts.dtype)
    return Sample(cells, own, products)
