"""Blocks of cells as tensors, dense or sparse, on any device that torch has."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from neuralNMF.cells.block import CountSums, Move, Sums
from neuralNMF.cells.sums import BlockSums, Totals
from neuralNMF.solvers.descent import beyond, descend
from neuralNMF.solvers.gram import gram
from neuralNMF.threads import SERIAL, Threads

# Non-zeros gathered at a time. Larger pieces are several times slower on a CPU (fresh pages for
# every temporary); elsewhere they save launches, at some 5 x k x 4 bytes a non-zero.
_GATHER_CPU, _GATHER = 1 << 17, 1 << 20
# Rows whose pairs of programs, k (k + 1) / 2 of them, are formed at a time.
_PAIRS = 1024


@dataclass
class DenseBlock:
    """Rows of a dense X; as counts, its entries need not be whole numbers.

    Parameters
    ----------
    matrix : Tensor, shape (n, M)
        On any device. Poisson sums form matrices of this size.
    scale : Tensor, shape (n,)
        Factor of each cell, on the same device and in the same precision.
    borders : ndarray of int64, shape (B + 1,)
        Where the blocks of cells begin that sums are taken over, as rows of these: from 0 to n.
    threads : Threads
        Share the blocks, on the CPU.
    sums : BlockSums
        Adds up over the blocks, on the CPU.
    """

    matrix: Tensor
    scale: Tensor
    borders: np.ndarray
    threads: Threads
    sums: BlockSums

    def __post_init__(self) -> None:
        self._blocks = list(pairwise(self.borders.tolist()))

    def times(self, right: Tensor, out: Tensor) -> None:
        """See `Block.times`."""
        right = right.to(device=out.device, dtype=out.dtype)
        if self.matrix.device.type != "cpu":
            self._times(slice(None), right, out)
            return
        self.threads.run(
            lambda first, past: self._times(slice(first, past), right, out[first:past]),
            self._blocks,
        )

    def add_transposed_times(self, left: Tensor, sums: Tensor) -> None:
        """See `Block.add_transposed_times`."""
        self._add_up(lambda part: (self._transposed_times(part, left), None), sums, None)

    def move(self, move: Move, theta: Tensor, proposal: Tensor, trial: Tensor, sums: Sums) -> None:
        """See `Block.move`."""
        slope, bend = move.slope.to(theta), move.bend.to(theta)
        curvature, sweeps = move.curvature, move.sweeps

        def moved(part: slice) -> tuple[Tensor, Tensor]:
            linear = torch.empty_like(theta[part])
            self._times(part, slope, linear)
            linear.addmm_(theta[part], bend)
            proposal[part].copy_(theta[part])
            descend(proposal[part], linear, curvature, sweeps, SERIAL)
            beyond(trial[part], proposal[part], move.momentum)
            return self._transposed_times(part, trial), gram(trial[part])

        self._add_up(moved, sums.cross, sums.gram)

    def square_sums(self, genes: Tensor) -> np.ndarray:
        """See `Block.square_sums`."""
        weights = genes.square()
        parts = [
            self.matrix[first:past].cpu().double().square() @ weights
            for first, past in self._blocks
        ]
        return (torch.cat(parts) * self.scale.cpu().double().square()).numpy()

    def rates(
        self,
        theta: Tensor,
        programs_t: Tensor,
        floor: float,
        log_sum: np.ndarray,
        rows: Tensor | None,
        columns: Tensor | None,
    ) -> None:
        """See `Block.rates`."""
        scaled, small = self._scaled(theta, programs_t)
        rate = scaled @ small.T + floor
        log_sum += float(torch.xlogy(self.matrix, rate).sum(dtype=_wide(rate)))
        ratio = _ratio(self.matrix, rate)
        if rows is not None:
            torch.mm(ratio, small, out=rows).mul_(self.scale.to(rows)[:, None])
        if columns is not None:
            columns += (ratio.T @ scaled).cpu().double()

    def curvature(
        self,
        theta: Tensor,
        programs_t: Tensor,
        direction: Tensor,
        floor: float,
        rows: Tensor | None,
        columns: Tensor,
    ) -> None:
        """See `Block.curvature`."""
        scaled, small = self._scaled(theta, programs_t)
        direction = direction.to(small)
        rate = scaled @ small.T + floor
        ratio = _ratio(self.matrix, rate)
        bend = _ratio(ratio * (scaled @ direction.T), rate)
        if rows is not None:
            torch.mm(ratio, direction, out=rows).addmm_(bend, small, alpha=-1)
            rows.mul_(self.scale.to(rows)[:, None])
        columns += (bend.T @ scaled).cpu().double()

    def hessian(self, theta: Tensor, programs_t: Tensor, floor: float, out: Tensor) -> None:
        """See `Block.hessian`."""
        scaled, small = self._scaled(theta, programs_t)
        rate = scaled @ small.T + floor
        weight = _ratio(_ratio(self.matrix, rate), rate)
        low, high = torch.tril_indices(theta.shape[1], theta.shape[1], device=theta.device)
        for part, w in zip(scaled.split(_PAIRS), weight.split(_PAIRS), strict=True):
            out += (w.T @ (part[:, low] * part[:, high])).cpu().double()

    def count_sums(self) -> CountSums:
        """See `Block.count_sums`."""
        entries = self.matrix.cpu().double()
        return CountSums(
            entries.sum(1).numpy(),
            torch.xlogy(entries, entries).sum(1).numpy(),
            torch.lgamma(entries + 1).sum(1).numpy(),
        )

    def _times(self, part: slice, right: Tensor, out: Tensor) -> None:
        torch.mm(self.matrix[part], right, out=out).mul_(self.scale[part, None])

    def _transposed_times(self, part: slice, left: Tensor) -> Tensor:
        return self.matrix[part].T @ (left[part] * self.scale[part, None])

    def _add_up(
        self,
        terms: Callable[[slice], tuple[Tensor, Tensor | None]],
        sums: Tensor,
        small_sums: Tensor | None,
    ) -> None:
        """Add ``terms(rows)`` of every block of cells to sums (M, k) and small_sums (k, k)."""
        if self.matrix.device.type != "cpu":
            total = torch.zeros_like(sums, dtype=_wide(self.matrix), device=self.matrix.device)
            for first, past in self._blocks:
                of_genes, small = terms(slice(first, past))
                total += of_genes
                if small is not None and small_sums is not None:
                    small_sums += small
            sums += total.cpu()
            return

        def work(first: int, past: int, genes: np.ndarray, total: np.ndarray) -> None:
            of_genes, small = terms(slice(first, past))
            torch.from_numpy(genes)[:, : of_genes.shape[1]].add_(of_genes)
            if small is not None:
                total += small.numpy()

        totals = Totals(sums.numpy(), None if small_sums is None else small_sums.numpy())
        kind = torch.empty(0, dtype=self.matrix.dtype).numpy().dtype
        self.sums.add(self._blocks, work, totals, kind)

    def _scaled(self, theta: Tensor, programs_t: Tensor) -> tuple[Tensor, Tensor]:
        scaled = theta.detach() * self.scale.to(theta)[:, None]
        return scaled, programs_t.detach().to(theta)


@dataclass
class SparseBlock:
    """CSR rows of X as tensors on any device torch has.

    Products go through torch's sparse matrices, of X and, since torch multiplies by the transpose
    of a CSR matrix far more slowly, of its transpose; Poisson sums through gathers.

    Parameters
    ----------
    indptr : Tensor of int64, shape (n + 1,)
        Starts at zero.
    indices : Tensor of int64, shape (nnz,)
    data : Tensor, shape (nnz,)
        In the precision of the fit.
    scale : Tensor, shape (n,)
        Factor of each cell.
    genes : int
        M.
    """

    indptr: Tensor
    indices: Tensor
    data: Tensor
    scale: Tensor
    genes: int

    @cached_property
    def _matrix(self) -> Tensor:
        shape = (self.indptr.numel() - 1, self.genes)
        return torch.sparse_csr_tensor(
            self.indptr, self.indices, self.data, size=shape, check_invariants=False
        )

    @cached_property
    def _transposed(self) -> Tensor:
        return self._matrix.transpose(0, 1).to_sparse_csr()

    def times(self, right: Tensor, out: Tensor) -> None:
        """See `Block.times`."""
        torch.mm(self._matrix, right.to(out), out=out)
        out.mul_(self.scale[:, None])

    def add_transposed_times(self, left: Tensor, sums: Tensor) -> None:
        """See `Block.add_transposed_times`."""
        sums += (self._transposed @ (left * self.scale[:, None])).cpu().double()

    def move(self, move: Move, theta: Tensor, proposal: Tensor, trial: Tensor, sums: Sums) -> None:
        """See `Block.move`."""
        linear = torch.empty_like(theta)
        self.times(move.slope, linear)
        linear.addmm_(theta, move.bend.to(linear))
        proposal.copy_(theta)
        descend(proposal, linear, move.curvature, move.sweeps, SERIAL)
        beyond(trial, proposal, move.momentum)
        sums.gram += gram(trial)
        self.add_transposed_times(trial, sums.cross)

    def square_sums(self, genes: Tensor) -> np.ndarray:
        """See `Block.square_sums`."""
        weighted = self.data.cpu().double() * genes[self.indices.cpu()]
        return self._by_cell(weighted.square()).numpy() * self.scale.cpu().double().numpy() ** 2

    def rates(
        self,
        theta: Tensor,
        programs_t: Tensor,
        floor: float,
        log_sum: np.ndarray,
        rows: Tensor | None,
        columns: Tensor | None,
    ) -> None:
        """See `Block.rates`."""
        scaled, small, added = self._prepared(theta, columns, programs_t)
        logs = torch.zeros((), dtype=_wide(scaled), device=scaled.device)
        if rows is not None:
            rows.zero_()
        for row, gene, x in self._gathers(1):
            u, v = scaled[row], small[0][gene]
            rate = (u * v).sum(1) + floor
            logs += (x * rate.log()).sum(dtype=logs.dtype)
            ratio = (x / rate)[:, None]
            if rows is not None:
                rows.index_add_(0, row, ratio * v)
            if columns is not None:
                _add_at(added, gene, ratio * u)
        if rows is not None:
            rows.mul_(self.scale.to(rows.dtype)[:, None])
        if columns is not None:
            columns += added.cpu().double()
        log_sum += float(logs)

    def curvature(
        self,
        theta: Tensor,
        programs_t: Tensor,
        direction: Tensor,
        floor: float,
        rows: Tensor | None,
        columns: Tensor,
    ) -> None:
        """See `Block.curvature`."""
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

    def hessian(self, theta: Tensor, programs_t: Tensor, floor: float, out: Tensor) -> None:
        """See `Block.hessian`."""
        scaled, small, added = self._prepared(theta, out, programs_t)
        low, high = torch.tril_indices(theta.shape[1], theta.shape[1], device=theta.device)
        # As many entries at a time as elsewhere: each non-zero has k (k + 1) / 2 of them here.
        for row, gene, x in self._gathers(theta.shape[1]):
            u = scaled[row]
            rate = (u * small[0][gene]).sum(1) + floor
            weighted = (x / rate / rate)[:, None] * u[:, low] * u[:, high]
            _add_at(added, gene, weighted)
        out += added.cpu().double()

    def count_sums(self) -> CountSums:
        """See `Block.count_sums`."""
        values = self.data.cpu().double()
        return CountSums(
            self._by_cell(values).numpy(),
            self._by_cell(torch.xlogy(values, values)).numpy(),
            self._by_cell(torch.lgamma(values + 1)).numpy(),
        )

    def _by_cell(self, values: Tensor) -> Tensor:
        """Sums (n,) of one value a non-zero, float64 on the host."""
        cells = torch.zeros(self.indptr.numel() - 1, dtype=torch.float64)
        return cells.index_add_(0, torch.repeat_interleave(self.indptr.cpu().diff()), values)

    def _prepared(
        self, theta: Tensor, columns: Tensor | None, *small: Tensor
    ) -> tuple[Tensor, list[Tensor], Tensor]:
        """diag(scale) theta, the small factors beside it, and zeros to add up columns in."""
        scaled = theta.detach() * self.scale.to(theta.dtype)[:, None]
        narrow = [part.to(device=theta.device, dtype=theta.dtype) for part in small]
        shape = (0,) if columns is None else columns.shape
        added = torch.zeros(shape, dtype=_wide(theta), device=theta.device)
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


def _ratio(top: Tensor, bottom: Tensor) -> Tensor:
    # Without a floor, 0 / 0 is an entry of zero that the model expects: it adds nothing.
    return torch.where(top == 0, torch.zeros_like(top), top / bottom)
