"""Blocks of cells: where the counts lie, and what is summed over their non-zeros.

All blocks do the same arithmetic (formulas: ``loops``): their results differ by rounding only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from neuralNMF.kernels.poisson import curvature_sums, hessian_sums, rate_sums
from neuralNMF.kernels.sparse import split_rows
from neuralNMF.kernels.vectors import LANES, aligned_zeros, blocks_of

# Cells summed in the precision of the fit before the sum is carried on in double precision.
_FLUSH = 16384
# Non-zeros widened to double precision at a time.
_PIECE = 1 << 20


class Block(Protocol):
    """Some consecutive cells of X.

    Shape: theta (n, k), in the precision of the fit; programs_t, direction (M, k) float64 on the
    host; ``rows`` (n, k) is overwritten, ``columns`` (M, k) float64 on the host is added to.
    """

    def rates(
        self,
        theta: Tensor,
        programs_t: Tensor,
        floor: float,
        rows: Tensor | None,
        columns: Tensor | None,
    ) -> float:
        """Sum of x log lambda; where asked for, its derivatives by theta and by the programs_t."""

    def curvature(
        self,
        theta: Tensor,
        programs_t: Tensor,
        direction: Tensor,
        floor: float,
        rows: Tensor | None,
        columns: Tensor,
    ) -> None:
        """Derivatives of sum x omega / lambda: by theta, and minus that by the programs_t."""

    def hessian(self, theta: Tensor, programs_t: Tensor, floor: float, out: Tensor) -> None:
        """Adds the packed lower triangles of H_j = sum_i x_ij / lambda_ij^2 u_i u_i^T to ``out``.

        Shape: out (M, k (k + 1) / 2) float64 on the host.
        """

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
        for part in values.split(_PIECE):
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

    def rates(self, theta, programs_t, floor, rows, columns) -> float:  # noqa: D102
        array, (narrow,), scale, floor = self._prepared(theta, floor, programs_t)
        partial, parts = self._slices(array, theta.shape[1] if columns is not None else 0)
        logs = np.zeros(self._borders.size - 1)
        rate_sums(
            self._borders,
            self.indptr,
            self._unsigned,
            self.data,
            scale,
            array,
            narrow,
            floor,
            _FLUSH,
            np.empty((0, 0), array.dtype) if rows is None else rows.numpy(),
            partial,
            parts,
            logs,
            rows is not None,
            columns is not None,
            blocks_of(theta.shape[1]),
        )
        if columns is not None:
            _add_in_order(columns, parts)
        return float(logs.sum())

    def curvature(self, theta, programs_t, direction, floor, rows, columns) -> None:  # noqa: D102
        array, (narrow, along), scale, floor = self._prepared(theta, floor, programs_t, direction)
        partial, parts = self._slices(array, theta.shape[1])
        curvature_sums(
            self._borders,
            self.indptr,
            self._unsigned,
            self.data,
            scale,
            array,
            narrow,
            along,
            floor,
            _FLUSH,
            np.empty((0, 0), array.dtype) if rows is None else rows.numpy(),
            partial,
            parts,
            rows is not None,
            blocks_of(theta.shape[1]),
        )
        _add_in_order(columns, parts)

    def hessian(self, theta, programs_t, floor, out) -> None:  # noqa: D102
        array, (narrow,), scale, floor = self._prepared(theta, floor, programs_t)
        partial, parts = self._slices(array, out.shape[1])
        hessian_sums(
            self._borders,
            self.indptr,
            self._unsigned,
            self.data,
            scale,
            array,
            narrow,
            floor,
            _FLUSH,
            partial,
            parts,
            blocks_of(theta.shape[1]),
        )
        _add_in_order(out, parts)

    def sums(self) -> CountSums:  # noqa: D102
        data, indptr = np.asarray(self.data), self.indptr - self.indptr[0]
        totals = np.zeros(indptr.size - 1)
        # In parts: the counts in double precision would take more memory than all of X.
        for start in range(0, totals.size, _FLUSH):
            ends = indptr[start : start + _FLUSH + 1]
            cells = np.repeat(np.arange(ends.size - 1), np.diff(ends))
            own = data[ends[0] : ends[-1]]
            totals[start : start + _FLUSH] = np.bincount(cells, own, ends.size - 1)
        if not data.flags.writeable:
            data = data.copy()  # torch takes no read-only arrays, as mapped ones are
        return CountSums.of(torch.from_numpy(data), torch.from_numpy(totals))

    def _prepared(self, theta: Tensor, floor: float, *small: Tensor) -> tuple:
        array = theta.detach().contiguous().numpy()
        shape = (self.genes, len(blocks_of(theta.shape[1])) * LANES)
        padded = [aligned_zeros(shape, array.dtype) for _ in small]
        for narrow, part in zip(padded, small, strict=True):
            narrow[:, : theta.shape[1]] = part.numpy()
        return array, padded, self.scale.astype(array.dtype, copy=False), array.dtype.type(floor)

    def _slices(self, array: np.ndarray, entries: int) -> tuple[np.ndarray, np.ndarray]:
        width = len(blocks_of(entries)) * LANES
        shape = (self._borders.size - 1, self.genes if entries else 0)
        return aligned_zeros((*shape, width), array.dtype), np.zeros((*shape, entries))


def _add_in_order(columns: Tensor, parts: np.ndarray) -> None:
    for part in parts:
        columns += torch.from_numpy(part)
