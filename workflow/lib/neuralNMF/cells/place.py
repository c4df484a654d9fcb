"""The place where the cells' side of a fit is computed, and the blocks of cells that suit it."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import scipy.sparse as sp
import torch

from neuralNMF.cells.block import Block
from neuralNMF.cells.rows import RowsBlock
from neuralNMF.cells.sums import BlockSums
from neuralNMF.cells.tensors import DenseBlock, SparseBlock
from neuralNMF.threads import SERIAL, Threads


class Place:
    """A device, a precision, and the threads of the host.

    Parameters
    ----------
    device : torch.device or str
    dtype : torch.dtype
        Of Theta_1 and of the products with X: single or double precision.
    threads : Threads
    """

    def __init__(
        self,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        threads: Threads = SERIAL,
    ) -> None:
        self.device, self.dtype, self.threads = torch.device(device), dtype, threads
        self.sums = BlockSums(threads)

    def rows(
        self,
        indptr: np.ndarray,
        indices: np.ndarray,
        values: np.ndarray,
        scale: np.ndarray,
        genes: int,
        borders: np.ndarray,
    ) -> Block:
        """Cells as sparse rows; of what lies on the host no copy is made.

        Parameters
        ----------
        indptr : ndarray of int64, shape (n + 1,)
            May start above zero.
        indices, values : ndarray, shape (nnz,)
            Columns and values of the non-zeros, of these cells alone.
        scale : ndarray of float64, shape (n,)
            Factor of each cell.
        genes : int
            M.
        borders : ndarray of int64, shape (B + 1,)
            Where the blocks of cells begin that sums are taken over, from 0 to n.

        Returns
        -------
        Block
        """
        if self.device.type == "cpu":
            return RowsBlock(
                indptr, indices, values, scale, genes, borders, self.threads, self.sums
            )
        ends, data = self._moved(indptr - indptr[0]), self._moved(values).to(self.dtype)
        factors = self._moved(scale.astype(torch.empty(0, dtype=self.dtype).numpy().dtype))
        if self.device.type == "cuda" and find_spec("triton") is not None:
            # Triton, which it is written in, is there only with the builds of torch for CUDA.
            from neuralNMF.cells.gpu_rows import GpuRows

            return GpuRows(ends, self._moved(indices.astype(np.int32)), data, factors, genes)
        return SparseBlock(ends, self._moved(indices.astype(np.int64)), data, factors, genes)

    def dense(
        self,
        indptr: np.ndarray,
        indices: np.ndarray,
        values: np.ndarray,
        scale: np.ndarray,
        genes: int,
        borders: np.ndarray,
    ) -> Block:
        """Cells as a dense matrix; the parameters are those of `rows`."""
        shape = (indptr.size - 1, genes)
        formed = sp.csr_matrix((values, indices, indptr - indptr[0]), shape=shape).toarray()
        return DenseBlock(
            torch.as_tensor(formed, dtype=self.dtype).to(self.device),
            torch.as_tensor(scale).to(self.dtype).to(self.device),
            borders,
            self.threads,
            self.sums,
        )

    def _moved(self, array: np.ndarray) -> torch.Tensor:
        """A copy on the device, which other work there need not wait for.

        A mapped array must not outlive its pages, and torch takes none that is read-only.
        """
        copy = torch.empty(
            array.shape,
            dtype=torch.from_numpy(np.empty(0, array.dtype)).dtype,
            pin_memory=self.device.type == "cuda",
        )
        np.copyto(copy.numpy(), array)
        return copy.to(self.device, non_blocking=True)
