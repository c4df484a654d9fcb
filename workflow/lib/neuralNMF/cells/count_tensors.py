"""Blocks of cells as sparse rows on any device torch has, in plain torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from neuralNMF.cells.count_rows import CountSums

# Non-zeros gathered at a time. Larger pieces are several times slower on a CPU (fresh pages for
# every temporary); elsewhere they save launches, at some 5 x k x 4 bytes a non-zero.
_GATHER_CPU, _GATHER = 1 << 17, 1 << 20


@dataclass
class TensorBlock:
    """CSR rows as tensors on any device: chunked gathers in plain torch.

    Shape: indptr (n + 1,) int64, starting at zero; indices (nnz,) int64; data (nnz,); scale (n,).
    """

    indptr: Tensor
    indices: Tensor
    data: Tensor
    scale: Tensor

    def rates(self, theta, programs_t, floor, rows, columns) -> float:  # noqa: D102
        scaled, small, added = self._prepared(theta, columns, programs_t)
        log_sum = torch.zeros((), dtype=_wide(scaled), device=scaled.device)
        if rows is not None:
            rows.zero_()
        for row, gene, x in self._gathers(1):
            u, v = scaled[row], small[0][gene]
            rate = (u * v).sum(1) + floor
            log_sum += (x * rate.log()).sum(dtype=log_sum.dtype)
            ratio = (x / rate)[:, None]
            if rows is not None:
                rows.index_add_(0, row, ratio * v)
            if columns is not None:
                _add_at(added, gene, ratio * u)
        if rows is not None:
            rows.mul_(self.scale.to(rows.dtype)[:, None])
        if columns is not None:
            columns += added.cpu().double()
        return float(log_sum)

    def curvature(self, theta, programs_t, direction, floor, rows, columns) -> None:  # noqa: D102
        scaled, small, added = self._prepared(theta, columns, programs_t, direction)
        if rows is not None:
            rows.zero_()
        for row, gene, x in self._gathers(1):
            u, v, d = scaled[row], small[0][gene], small[1][gene]
            rate = (u * v).sum(1) + floor
            ratio = (x / rate)[:, None]
            bend = ratio * ((u * d).sum(1) / rate)[:, None]
            if rows is not None:
                rows.index_add_(0, row, ratio * d - bend * v)
            _add_at(added, gene, bend * u)
        if rows is not None:
            rows.mul_(self.scale.to(rows.dtype)[:, None])
        columns += added.cpu().double()

    def hessian(self, theta, programs_t, floor, out) -> None:  # noqa: D102
        scaled, small, added = self._prepared(theta, out, programs_t)
        low, high = torch.tril_indices(theta.shape[1], theta.shape[1], device=theta.device)
        # As many entries at a time as elsewhere: each non-zero has k (k + 1) / 2 of them here.
        for row, gene, x in self._gathers(theta.shape[1]):
            u = scaled[row]
            rate = (u * small[0][gene]).sum(1) + floor
            weighted = (x / rate / rate)[:, None] * u[:, low] * u[:, high]
            _add_at(added, gene, weighted)
        out += added.cpu().double()

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

    def _gathers(self, share: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Row, gene and count of the non-zeros, piece by piece, of a ``share``-th of the size."""
        on_cpu = self.indices.device.type == "cpu"
        size = max(1, (_GATHER_CPU if on_cpu else _GATHER) // share)
        total = self.indices.numel()
        for start in range(0, total, size):
            part = slice(start, min(start + size, total))
            place = torch.arange(part.start, part.stop, device=self.indices.device)
            row = torch.searchsorted(self.indptr, place, right=True) - 1
            yield row, self.indices[part], self.data[part]


def _wide(values: Tensor) -> torch.dtype:
    # Apple's devices have no double precision.
    return values.dtype if values.device.type == "mps" else torch.float64


def _add_at(total: Tensor, index: Tensor, values: Tensor) -> None:
    # One piece's sum in the precision of the fit, which is several times faster on a CPU; the sum
    # of the pieces in double precision.
    part = torch.zeros(total.shape, dtype=values.dtype, device=values.device)
    total += part.index_add_(0, index, values)
