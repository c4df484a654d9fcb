"""From a data set to the products of a fit: in memory or streamed, dense or sparse."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import numpy as np
import scipy.sparse as sp
import torch

from neuralNMF.cells.products import (
    Block,
    Products,
    RowsBlock,
    TensorBlock,
    rows_products,
    tensor_products,
)
from neuralNMF.cells.scaling import Scaling
from neuralNMF.io.dataset import Dataset

_log = logging.getLogger(__name__)

# From this share of non-zeros on, a dense matrix takes no more memory than a sparse one
# (4 against 8 bytes a value).
DENSE_FROM = 0.5
_CHUNK = 50_000
_Block = TypeVar("_Block")


def dataset_products(
    dataset: Dataset,
    scaling: Scaling,
    *,
    device: torch.device,
    dtype: torch.dtype,
    data_mem_size: int | None,
    threads: int,
) -> Products:
    """The products of a data set.

    data_mem_size: cells held in memory; with fewer than there are, X is streamed.
    """
    cells, genes = dataset.shape
    dense = dataset.nnz >= DENSE_FROM * cells * genes
    streamed = data_mem_size is not None and data_mem_size < cells
    _log.info(
        "%d cells x %d genes, %d non-zeros (%.1f %%), %s, %s",
        cells,
        genes,
        dataset.nnz,
        100 * dataset.nnz / (cells * genes),
        "multiplied as a dense matrix" if dense else "multiplied as a sparse matrix",
        f"streamed {data_mem_size} cells at a time" if streamed else "held in memory",
    )

    def block(start: int, stop: int, indices: np.ndarray, data: np.ndarray) -> Block:
        indptr = dataset.indptr[start : stop + 1]
        values = scaling.values(data, indptr, start, stop)
        scale = scaling.outer_cells[start:stop]
        if not dense and device.type == "cpu":
            return RowsBlock(indptr, indices, values, scale, genes, threads)
        return _tensor_block(
            indptr - indptr[0], indices, values, scale, genes, dense, device, dtype, threads
        )

    blocks = cell_blocks(dataset, block, data_mem_size)
    return Products(blocks, dataset.shape, scaling.genes, device=device, dtype=dtype)


def cell_blocks(
    dataset: Dataset,
    block: Callable[[int, int, np.ndarray, np.ndarray], _Block],
    data_mem_size: int | None,
) -> Callable[[], Iterable[tuple[int, int, _Block]]]:
    """The blocks of a data set: one held in memory, or several streamed anew at each call.

    block: makes one from (first cell, past the last cell, their indices, their data).
    """
    cells = dataset.shape[0]
    if data_mem_size is None or data_mem_size >= cells:
        held = [(0, cells, block(0, cells, *dataset.read()))]
        return lambda: held

    def stream() -> Iterator[tuple[int, int, _Block]]:
        indices, data = dataset.map()
        for start in range(0, cells, data_mem_size):
            stop = min(start + data_mem_size, cells)
            first, last = dataset.indptr[start], dataset.indptr[stop]
            yield start, stop, block(start, stop, indices[first:last], data[first:last])
            dataset.release()

    return stream


def sample_products(
    dataset: Dataset,
    scaling: Scaling,
    cells: np.ndarray,
    *,
    dtype: torch.dtype,
    threads: int,
) -> Products:
    """The products of some cells of a data set, in memory on the host; cells: rising indices."""
    own = Scaling(scaling.cells[cells], scaling.genes, scaling.transform)
    matrix = sample_rows(dataset, cells)
    matrix.data = own.values(matrix.data, matrix.indptr, 0, cells.size)
    if matrix.nnz >= DENSE_FROM * matrix.shape[0] * matrix.shape[1]:
        dense = torch.as_tensor(matrix.toarray(), dtype=dtype)
        return tensor_products(dense, own.outer_cells, scaling.genes, threads=threads)
    return rows_products(matrix, own.outer_cells, scaling.genes, dtype=dtype, threads=threads)


def sample_rows(dataset: Dataset, cells: np.ndarray) -> sp.csr_matrix:
    """The counts (n, M) of some cells of a data set, copied; cells (n,): rising indices."""
    parts = []
    for start in range(0, dataset.shape[0], _CHUNK):
        stop = min(start + _CHUNK, dataset.shape[0])
        inside = cells[(cells >= start) & (cells < stop)]
        parts.append(dataset.rows(start, stop)[inside - start])
        dataset.release()
    return sp.vstack(parts, format="csr")


def _tensor_block(
    indptr: np.ndarray,
    indices: np.ndarray,
    values: np.ndarray,
    scale: np.ndarray,
    genes: int,
    dense: bool,
    device: torch.device,
    dtype: torch.dtype,
    threads: int,
) -> TensorBlock:
    shape = (indptr.size - 1, genes)
    cells = torch.as_tensor(scale, dtype=dtype).to(device)
    if dense:
        formed = sp.csr_matrix((values, indices, indptr), shape=shape).toarray()
        matrix = torch.as_tensor(formed, dtype=dtype).to(device)
        return TensorBlock(matrix, matrix, cells, threads)
    # Copies: torch takes no read-only arrays, and a mapped one must not outlive its pages.
    matrix = torch.sparse_csr_tensor(
        torch.as_tensor(indptr.copy()),
        torch.as_tensor(indices.astype(np.int64)),
        torch.as_tensor(values.astype(np.float32)).to(dtype),
        size=shape,
        device=device,
    )
    return TensorBlock(matrix, matrix.transpose(0, 1).to_sparse_csr(), cells, threads)
