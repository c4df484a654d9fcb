"""From a data set to the counts of a Poisson fit: in memory or streamed."""

from __future__ import annotations

import logging

import numpy as np
import torch

from neuralNMF.io.dataset import Dataset
from neuralNMF.poisson.blocks import Block, RowsBlock
from neuralNMF.poisson.counts import Counts, library_size
from neuralNMF.poisson.tensor_blocks import TensorBlock
from neuralNMF.source import cell_blocks

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
