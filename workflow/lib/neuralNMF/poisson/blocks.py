"""Blocks of cells: where the counts lie, and what is summed over their non-zeros.

All blocks do the same arithmetic (formulas: ``loops``): their results differ by rounding only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import scipy.sparse
import torch
from torch import Tensor

from neuralNMF.kernels.sparse import split_rows
from neuralNMF.poisson.loops import curvature_sums, rate_sums

# Cells summed in the precision of the fit before the sum is carried on in double precision.
_FLUSH = 16384
# Non-zeros gathered at a time on the torch path; 2 x 20 x 4 bytes each at rank 20: about 80 MB.
_GATHER = 1 << 19


class Block(Protocol):
    """Some consecutive cells of X.

    Shape: theta (n, k), in the precision of the fit; loadings, direction (M, k) float64 on the
    host; ``rows`` (n, k) is overwritten, ``columns`` (M, k) float64 on the host is added to.
    """

    def rates(
        self,
        theta: Tensor,
        loadings: Tensor,
        floor: float,
        rows: Tensor | None,
        columns: Tensor | None,
    ) -> float:
        """Sum of x log lambda; where asked for, its derivatives by theta and by the loadings."""

    def curvature(
        self,
        theta: Tensor,
        loadings: Tensor,
        direction: Tensor,
        floor: float,
        rows: Tensor | None,
        columns: Tensor,
    ) -> None:
        """Derivatives of sum x omega / lambda: by theta, and minus that by the loadings."""

    def sums(self) -> CountSums:
        """Sums over the counts alone."""


@dataclass
class CountSums:
    """Sums over the counts alone, in double precision: x, x log x, log x!, and x in each cell."""

    total: float
    entropy: float
    log_factorials: float
    cells: np.ndarray

    @staticmethod
    def of(values: Tensor, cells: Tensor) -> CountSums:
        """From the non-zeros (any shape, zeros allowed) and the cells' totals (n,)."""
        total = entropy = log_factorials = 0.0
        # In pieces, so that no copy of the non-zeros is made.
        for part in values.split(_GATHER):
            wide = part.double()
            total += float(wide.sum())
            entropy += float(torch.xlogy(wide, wide).sum())
            log_factorials += float(torch.lgamma(wide + 1).sum())
        return CountSums(total, entropy, log_factorials, cells.double().cpu().numpy())


@dataclass
class RowsBlock:
    """CSR rows on the host, walked by the compiled loops; no copy is made of them.

    Shape: indptr (n + 1,) int64, may start above zero; indices int32, data float32 or float64: of
    these rows alone; scale (n,): library sizes; genes: M.
    """

    indptr: np.ndarray
    indices: np.ndarray
    data: np.ndarray
    scale: np.ndarray
    genes: int
    threads: int

    def __post_init__(self) -> None:
        self._unsigned = np.asarray(self.indices).view(np.uint32)
        self._borders = split_rows(self.indptr, self.threads)

    def rates(self, theta, loadings, floor, rows, columns) -> float:  # noqa: D102
        array, narrow, scale, floor = self._prepared(theta, floor, loadings)
        partial, parts = self._slices(columns is not None, theta)
        logs = np.zeros(self._borders.size - 1)
        rate_sums(
            self._borders,
            self.indptr,
            self._unsigned,
            self.data,
            scale,
            array,
            narrow[0],
            floor,
            _FLUSH,
            np.empty((0, 0), array.dtype) if rows is None else rows.numpy(),
            partial,
            parts,
            logs,
            rows is not None,
            columns is not None,
        )
        if columns is not None:
            _add_in_order(columns, parts)
        return float(logs.sum())

    def curvature(self, theta, loadings, direction, floor, rows, columns) -> None:  # noqa: D102
        array, narrow, scale, floor = self._prepared(theta, floor, loadings, direction)
        partial, parts = self._slices(True, theta)
        curvature_sums(
            self._borders,
            self.indptr,
            self._unsigned,
            self.data,
            scale,
            array,
            narrow[0],
            narrow[1],
            floor,
            _FLUSH,
            np.empty((0, 0), array.dtype) if rows is None else rows.numpy(),
            partial,
            parts,
            rows is not None,
        )
        _add_in_order(columns, parts)

    def sums(self) -> CountSums:  # noqa: D102
        data, indptr = np.asarray(self.data), self.indptr - self.indptr[0]
        rows = scipy.sparse.csr_matrix(
            (data, self.indices, indptr), shape=(indptr.size - 1, self.genes), copy=False
        )
        totals = rows @ np.ones(self.genes)
        return CountSums.of(torch.from_numpy(data), torch.from_numpy(totals))

    def _prepared(self, theta: Tensor, floor: float, *small: Tensor) -> tuple:
        array = theta.detach().contiguous().numpy()
        narrow = [np.ascontiguousarray(part.numpy(), dtype=array.dtype) for part in small]
        return array, narrow, self.scale.astype(array.dtype, copy=False), array.dtype.type(floor)

    def _slices(self, wanted: bool, theta: Tensor) -> tuple[np.ndarray, np.ndarray]:
        threads = self._borders.size - 1
        shape = (threads, self.genes if wanted else 0, theta.shape[1])
        dtype = np.float64 if theta.dtype == torch.float64 else np.float32
        return np.empty(shape, dtype), np.zeros(shape)


@dataclass
class TensorBlock:
    """CSR rows as tensors on any device: chunked gathers in plain torch.

    Shape: indptr (n + 1,) int64, starting at zero; indices (nnz,) int64; data (nnz,); scale (n,).
    """

    indptr: Tensor
    indices: Tensor
    data: Tensor
    scale: Tensor

    def rates(self, theta, loadings, floor, rows, columns) -> float:  # noqa: D102
        scaled, small, added = self._prepared(theta, columns, loadings)
        log_sum = 0.0
        if rows is not None:
            rows.zero_()
        for row, gene, x in self._gathers():
            u, v = scaled[row], small[0][gene]
            rate = (u * v).sum(1) + floor
            log_sum += float((x * rate.log()).sum(dtype=_wide(x)))
            ratio = (x / rate)[:, None]
            if rows is not None:
                rows.index_add_(0, row, ratio * v)
            if columns is not None:
                added.index_add_(0, gene, (ratio * u).to(added.dtype))
        if rows is not None:
            rows.mul_(self.scale.to(rows.dtype)[:, None])
        if columns is not None:
            columns += added.cpu().double()
        return log_sum

    def curvature(self, theta, loadings, direction, floor, rows, columns) -> None:  # noqa: D102
        scaled, small, added = self._prepared(theta, columns, loadings, direction)
        if rows is not None:
            rows.zero_()
        for row, gene, x in self._gathers():
            u, v, d = scaled[row], small[0][gene], small[1][gene]
            rate = (u * v).sum(1) + floor
            ratio = (x / rate)[:, None]
            bend = ratio * ((u * d).sum(1) / rate)[:, None]
            if rows is not None:
                rows.index_add_(0, row, ratio * d - bend * v)
            added.index_add_(0, gene, (bend * u).to(added.dtype))
        if rows is not None:
            rows.mul_(self.scale.to(rows.dtype)[:, None])
        columns += added.cpu().double()

    def sums(self) -> CountSums:  # noqa: D102
        values = self.data.cpu()
        row_of = torch.repeat_interleave(self.indptr.cpu().diff())
        cells = torch.zeros(self.indptr.numel() - 1, dtype=torch.float64)
        return CountSums.of(values, cells.index_add_(0, row_of, values.double()))

    def _prepared(self, theta: Tensor, columns: Tensor | None, *small: Tensor) -> tuple:
        scaled = theta.detach() * self.scale.to(theta.dtype)[:, None]
        narrow = [part.to(device=theta.device, dtype=theta.dtype) for part in small]
        added = None
        if columns is not None:
            added = torch.zeros(columns.shape, dtype=_wide(theta), device=theta.device)
        return scaled, narrow, added

    def _gathers(self):
        total = self.indices.numel()
        for start in range(0, total, _GATHER):
            part = slice(start, min(start + _GATHER, total))
            place = torch.arange(part.start, part.stop, device=self.indices.device)
            row = torch.searchsorted(self.indptr, place, right=True) - 1
            yield row, self.indices[part], self.data[part]


def _wide(values: Tensor) -> torch.dtype:
    # Apple's devices have no double precision.
    return values.dtype if values.device.type == "mps" else torch.float64


def _add_in_order(columns: Tensor, parts: np.ndarray) -> None:
    for part in parts:
        columns += torch.from_numpy(part)
