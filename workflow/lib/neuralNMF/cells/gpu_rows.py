"""Blocks of cells as CSR rows on a CUDA device; all sums run through the loops of `kernels.gpu`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from neuralNMF.cells.block import CountSums, Move, Sums
from neuralNMF.kernels import gpu
from neuralNMF.solvers.descent import beyond, descend
from neuralNMF.solvers.gram import gram

# Non-zeros read at a time and warps, for a row and for a piece of a column; the fastest of those
# that were tried on an H200 with 20 and 60 programs.
_ROW = {"CHUNK": 4, "num_warps": 2}
_COLUMN = {"CHUNK": 32, "num_warps": 4}
_HESSIAN = {"CHUNK": 4, "num_warps": 4}
# Non-zeros of a piece of a column: their sum is in the precision of the fit, that of the pieces in
# double precision.
_PIECE = 4096
# Non-zeros at a time of the sums over cells that are formed once.
_ONCE = 1 << 26


@dataclass(frozen=True)
class _Columns:
    """The non-zeros by gene, each gene's in pieces.

    Parameters
    ----------
    rows : Tensor of int32, shape (nnz,)
    data : Tensor, shape (nnz,)
    begins, ends, genes : Tensor of int64, shape (P,)
        Where each piece lies among the non-zeros, and whose it is.
    first : Tensor of int64, shape (M + 1,)
        The first piece of each gene.
    """

    rows: Tensor
    data: Tensor
    begins: Tensor
    ends: Tensor
    genes: Tensor
    first: Tensor


@dataclass
class GpuRows:
    """CSR rows of X on a CUDA device, for Poisson sums as for products.

    The non-zeros are held a second time by gene, from the first sum over cells on: 16 bytes a
    non-zero in all, in single precision.

    Parameters
    ----------
    indptr : Tensor of int64, shape (n + 1,)
        Starts at zero.
    indices : Tensor of int32, shape (nnz,)
    data : Tensor, shape (nnz,)
        In the precision of the fit.
    scale : Tensor, shape (n,)
        Factor of each cell, in the same precision.
    genes : int
        M.
    """

    indptr: Tensor
    indices: Tensor
    data: Tensor
    scale: Tensor
    genes: int

    def __post_init__(self) -> None:
        self._begins, self._ends = self.indptr[:-1].contiguous(), self.indptr[1:].contiguous()

    @cached_property
    def _columns(self) -> _Columns:
        # A stable sort: a gene's cells stay in their order.
        order = torch.sort(self.indices, stable=True).indices
        cells = torch.arange(self.scale.numel(), dtype=torch.int32, device=self.data.device)
        rows = torch.repeat_interleave(cells, self.indptr.diff())[order]
        counts = torch.bincount(self.indices, minlength=self.genes)
        starts, pieces = _ends(counts), (counts + _PIECE - 1) // _PIECE
        first = _ends(pieces)
        genes = torch.repeat_interleave(torch.arange(self.genes, device=pieces.device), pieces)
        number = torch.arange(genes.numel(), device=genes.device) - first[genes]
        begins = starts[genes] + number * _PIECE
        ends = torch.minimum(begins + _PIECE, starts[genes + 1])
        return _Columns(rows, self.data[order], begins, ends, genes, first)

    def times(self, right: Tensor, out: Tensor) -> None:
        """See `Block.times`."""
        small = right.to(out).contiguous()
        gpu.products[(out.shape[0],)](
            self._begins, self._ends, self.indices, self.data, self.scale, small, out,
            out.shape[1], BY_ROW=True, K=_power(out.shape[1]), **_ROW,
        )  # fmt: skip

    def add_transposed_times(self, left: Tensor, sums: Tensor) -> None:
        """See `Block.add_transposed_times`."""
        columns, rank = self._columns, left.shape[1]

        def add(parts: Tensor) -> None:
            gpu.products[(parts.shape[0],)](
                columns.begins, columns.ends, columns.rows, columns.data, self.scale,
                left.contiguous(), parts, rank, BY_ROW=False, K=_power(rank), **_COLUMN,
            )  # fmt: skip

        sums += self._joined(add, rank, left.dtype)

    def move(self, move: Move, theta: Tensor, proposal: Tensor, trial: Tensor, sums: Sums) -> None:
        """See `Block.move`."""
        linear = torch.empty_like(theta)
        self.times(move.slope, linear)
        linear.addmm_(theta, move.bend.to(linear))
        proposal.copy_(theta)
        descend(proposal, linear, move.curvature, move.sweeps)
        beyond(trial, proposal, move.momentum)
        sums.gram += gram(trial)
        self.add_transposed_times(trial, sums.cross)

    def square_sums(self, genes: Tensor) -> np.ndarray:
        """See `Block.square_sums`."""
        factors = genes.to(self.data.device)

        def squares(part: slice) -> Tensor:
            return (self.data[part].double() * factors[self.indices[part]]).square()

        (cells,) = self._by_cell(squares)
        return cells * self.scale.double().square().cpu().numpy()

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
        scaled, programs = self._scaled(theta), programs_t.detach().to(theta).contiguous()
        cells, rank = theta.shape
        shape = {"K": _power(rank)}
        logs: Tensor | None = None
        if rows is not None or columns is None:
            logs = torch.empty(cells, dtype=torch.float64, device=theta.device)
            gpu.rates[(cells,)](
                self._begins, self._ends, self._begins, self.indices, self.data, scaled, programs,
                floor, scaled if rows is None else rows, logs, rank, SUMS=rows is not None,
                BY_ROW=True, **shape, **_ROW,
            )  # fmt: skip
        if rows is not None:
            rows.mul_(self.scale[:, None])
        if columns is not None:
            held = self._columns
            piece_logs = torch.empty(held.genes.numel(), dtype=torch.float64, device=theta.device)

            def add(parts: Tensor) -> None:
                gpu.rates[(parts.shape[0],)](
                    held.begins, held.ends, held.genes, held.rows, held.data, programs, scaled,
                    floor, parts, piece_logs, rank, SUMS=True, BY_ROW=False, **shape, **_COLUMN,
                )  # fmt: skip

            columns += self._joined(add, rank, theta.dtype)
            logs = piece_logs if logs is None else logs
        assert logs is not None
        log_sum += float(logs.sum())

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
        scaled, programs = self._scaled(theta), programs_t.detach().to(theta).contiguous()
        directions = direction.detach().to(theta).contiguous()
        cells, rank = theta.shape
        if rows is not None:
            gpu.bend_rows[(cells,)](
                self._begins, self._ends, self.indices, self.data, scaled, programs, directions,
                floor, rows, rank, K=_power(rank), **_ROW,
            )  # fmt: skip
            rows.mul_(self.scale[:, None])
        held = self._columns

        def add(parts: Tensor) -> None:
            gpu.bend_columns[(parts.shape[0],)](
                held.begins, held.ends, held.genes, held.rows, held.data, programs, directions,
                scaled, floor, parts, rank, K=_power(rank), **_COLUMN,
            )  # fmt: skip

        columns += self._joined(add, rank, theta.dtype)

    def hessian(self, theta: Tensor, programs_t: Tensor, floor: float, out: Tensor) -> None:
        """See `Block.hessian`."""
        scaled, programs = self._scaled(theta), programs_t.detach().to(theta).contiguous()
        held, rank = self._columns, theta.shape[1]

        def add(parts: Tensor) -> None:
            gpu.hessians[(parts.shape[0],)](
                held.begins, held.ends, held.genes, held.rows, held.data, programs, scaled, floor,
                parts, rank, K=_power(rank), **_HESSIAN,
            )  # fmt: skip

        whole = self._joined(add, rank * rank, theta.dtype).view(-1, rank, rank)
        low, high = torch.tril_indices(rank, rank)
        out += whole[:, low, high]

    def count_sums(self) -> CountSums:
        """See `Block.count_sums`."""
        return CountSums(
            *self._by_cell(
                lambda part: self.data[part].double(),
                lambda part: torch.xlogy(self.data[part].double(), self.data[part].double()),
                lambda part: torch.lgamma(self.data[part].double() + 1),
            )
        )

    def _scaled(self, theta: Tensor) -> Tensor:
        return (theta.detach() * self.scale[:, None]).contiguous()

    def _joined(self, add: Callable[[Tensor], None], width: int, dtype: torch.dtype) -> Tensor:
        """Sums (M, width) over all cells, float64 on the host, of what ``add`` writes a piece."""
        held = self._columns
        parts = torch.empty((held.genes.numel(), width), dtype=dtype, device=self.data.device)
        if parts.shape[0]:
            add(parts)
        out = torch.empty((self.genes, width), dtype=torch.float64, device=self.data.device)
        block = min(_power(width), 128)
        gpu.join[(self.genes, -(-width // block))](
            held.first, parts, out, width, BLOCK=block, num_warps=1
        )
        return out.cpu()

    def _by_cell(self, *of_part: Callable[[slice], Tensor]) -> list[np.ndarray]:
        """Sums (n,) over each cell of one value a non-zero or more, in double precision."""
        ends = self.indptr.cpu().numpy()
        found: list[list[np.ndarray]] = [[] for _ in of_part]
        first, cells = 0, ends.size - 1
        while first < cells:
            past = int(np.searchsorted(ends, ends[first] + _ONCE, side="right")) - 1
            past = min(max(past, first + 1), cells)
            part = slice(int(ends[first]), int(ends[past]))
            lengths = self.indptr[first : past + 1].diff()
            for sums, values in zip(found, of_part, strict=True):
                total = torch.segment_reduce(values(part), "sum", lengths=lengths, unsafe=True)
                sums.append(total.cpu().numpy())
            first = past
        return [np.concatenate(sums) if sums else np.zeros(0) for sums in found]


def _power(number: int) -> int:
    """The least power of two that is not smaller."""
    return 1 << max(number - 1, 0).bit_length()


def _ends(counts: Tensor) -> Tensor:
    """Zero, and the running sums."""
    return torch.cat([counts.new_zeros(1), counts.cumsum(0)])
