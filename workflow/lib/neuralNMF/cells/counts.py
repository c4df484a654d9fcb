"""The counts as Poisson models see them: a stream of blocks of cells, and one pass over it.

Rates are lambda = diag(s) Theta W^T + floor with library sizes s (N,), Theta (N, k), programs_t W
(M, k). ``floor`` is a background rate so small that it changes nothing (1e-10 counts by default),
except that a count where the model says zero has a finite deviance and gradient, not infinite
ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar, overload

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from neuralNMF.cells.block import Block
from neuralNMF.cells.exact import ExactSums, usage_sums
from neuralNMF.cells.place import Place
from neuralNMF.cells.sums import block_borders
from neuralNMF.cells.tensors import DenseBlock, SparseBlock
from neuralNMF.errors import InputError
from neuralNMF.team import ALONE, Team
from neuralNMF.threads import SERIAL, Threads

FLOOR = 1e-10

# A derivative that a pass was asked for is a tensor, one that it was not asked for is None.
Rows = TypeVar("Rows", bound=Tensor | None)
Columns = TypeVar("Columns", bound=Tensor | None)


@dataclass
class RatePass(Generic[Rows, Columns]):
    """The result of one pass over the non-zeros.

    Parameters
    ----------
    log_sum : float
        Sum of x log lambda.
    rows : Tensor or None, shape (N, k)
        Its derivative by Theta, on the device; None where not asked for.
    columns : Tensor or None, shape (M, k)
        Its derivative by W, float64 on the host; None where not asked for.
    """

    log_sum: float
    rows: Rows
    columns: Columns


def median_total(totals: np.ndarray, team: Team = ALONE) -> float:
    """The median of the cells' totals (N,), without those that are zero, of all processes.

    Raises
    ------
    InputError
        No cell has any counts.
    """
    positive = np.asarray(totals, dtype=np.float64)
    positive = positive[positive > 0]
    if team.total(positive.size) == 0:
        raise InputError("No cell has any counts in the selected genes; select other genes.")
    return team.median(positive)


def library_size(totals: np.ndarray, team: Team = ALONE) -> np.ndarray:
    """Library sizes s_i: a cell's total over the selected genes, divided by the median total.

    Parameters
    ----------
    totals : ndarray, shape (N,)
        Counts of each cell.
    team : Team
        The processes that hold the cells, each the totals of its own.

    Returns
    -------
    ndarray, shape (N,)
        float64, without unit; zero for a cell without counts, which the median leaves out.

    Raises
    ------
    InputError
        No cell has any counts.
    """
    return np.asarray(totals, dtype=np.float64) / median_total(totals, team)


class Counts:
    """Counts X (N, M) as blocks of cells, with the library sizes.

    Parameters
    ----------
    blocks : callable
        Yields ``(first cell, past the last cell, block)`` in order, anew at each call.
    shape : (int, int)
        N cells, M genes.
    scale : ndarray, shape (N,)
        Library sizes s.
    place : Place
        Where the cells' side is computed.
    floor : float, default 1e-10
        Background rate, in counts.
    team : Team
        The processes whose blocks make up X, each with some of the cells. Whatever is summed over
        cells is summed over those of all processes.

    Attributes
    ----------
    all_cells : int
        Of all processes.
    entries : float
        All cells times genes.
    scale : Tensor, shape (N,)
        Library sizes, float64 on the host.
    totals : Tensor, shape (N,)
        Counts of each cell, float64 on the host; ``total`` is their sum.
    saturated : float
        Sum of x log x - x, from which the deviance is measured.
    log_factorials : float
        Sum of log x!.

    Raises
    ------
    InputError
        There is not one library size for each cell.
    """

    def __init__(
        self,
        blocks: Callable[[], Iterable[tuple[int, int, Block]]],
        shape: tuple[int, int],
        scale: np.ndarray,
        place: Place,
        *,
        floor: float = FLOOR,
        team: Team = ALONE,
    ) -> None:
        self._blocks = blocks
        self.shape, self.team = shape, team
        self.all_cells = int(team.total(shape[0]))
        self.entries = float(self.all_cells) * shape[1]
        self.floor = floor
        self.device, self.dtype, self.threads = place.device, place.dtype, place.threads
        self.scale = torch.as_tensor(scale, dtype=torch.float64)
        if tuple(self.scale.shape) != (shape[0],):
            raise InputError(
                f"Library sizes have shape {tuple(self.scale.shape)}, the counts have {shape[0]} "
                "cells; give one size a cell."
            )
        sums = [block.count_sums() for _, _, block in blocks()]
        totals = np.concatenate([part.totals for part in sums])
        of_all = ExactSums(3)
        for part in sums:
            terms = part.totals, part.entropies, part.log_factorials
            of_all.add(np.column_stack(terms))
        self.total, entropy, self.log_factorials = of_all.total(team).tolist()
        self.saturated = entropy - self.total
        self.totals = torch.from_numpy(totals)

    @overload
    def rates(
        self, theta: Tensor, programs_t: Tensor, *, rows: Literal[True], columns: Literal[True]
    ) -> RatePass[Tensor, Tensor]: ...

    @overload
    def rates(
        self, theta: Tensor, programs_t: Tensor, *, rows: Literal[True]
    ) -> RatePass[Tensor, None]: ...

    @overload
    def rates(
        self, theta: Tensor, programs_t: Tensor, *, columns: Literal[True]
    ) -> RatePass[None, Tensor]: ...

    @overload
    def rates(
        self, theta: Tensor, programs_t: Tensor, *, rows: bool = False, columns: bool = False
    ) -> RatePass[Tensor | None, Tensor | None]: ...

    def rates(
        self, theta: Tensor, programs_t: Tensor, *, rows: bool = False, columns: bool = False
    ) -> RatePass[Any, Any]:
        """Sum of x log lambda and, where asked for, its derivatives, in one pass.

        Parameters
        ----------
        theta : Tensor, shape (N, k)
            On the device.
        programs_t : Tensor, shape (M, k)
            W, float64 on the host.
        rows, columns : bool
            Whether the derivatives by Theta and by W are asked for.

        Returns
        -------
        RatePass
        """
        return self.rates_of_layers([theta], [programs_t], rows=rows, columns=columns)[0]

    def rates_of_layers(
        self,
        usages: Sequence[Tensor],
        programs_t: Sequence[Tensor],
        *,
        rows: bool = False,
        columns: bool = False,
    ) -> list[RatePass[Any, Any]]:
        """`rates` of several factorizations of these counts, all in one pass over X.

        Parameters
        ----------
        usages : sequence of Tensor, (N, k_l) each
            On the device.
        programs_t : sequence of Tensor, (M, k_l) each
            float64 on the host.
        rows, columns : bool
            See `rates`.

        Returns
        -------
        list of RatePass
        """
        by_rows = [torch.empty_like(u, requires_grad=False) if rows else None for u in usages]
        by_columns = [_zeros(program_t) if columns else None for program_t in programs_t]
        log_sums = [np.zeros(()) for _ in usages]
        for start, stop, block in self._blocks():
            for usage, program_t, by_row, by_column, log_sum in zip(
                usages, programs_t, by_rows, by_columns, log_sums, strict=True
            ):
                part = None if by_row is None else by_row[start:stop]
                block.rates(usage[start:stop], program_t, self.floor, log_sum, part, by_column)
        self.team.add(*log_sums, *(part.numpy() for part in by_columns if part is not None))
        return [
            RatePass(float(log_sum), by_row, by_column)
            for log_sum, by_row, by_column in zip(log_sums, by_rows, by_columns, strict=True)
        ]

    def curvature(
        self, theta: Tensor, programs_t: Tensor, direction: Tensor, *, rows: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """Derivatives of F = sum of x omega / lambda with omega = diag(s) Theta direction^T.

        Parameters
        ----------
        theta : Tensor, shape (N, k)
            On the device.
        programs_t, direction : Tensor, shape (M, k)
            float64 on the host.
        rows : bool
            Whether the derivative by Theta is asked for.

        Returns
        -------
        by_programs_t : Tensor, shape (M, k)
            -dF/dW, float64 on the host.
        by_theta : Tensor or None, shape (N, k)
            dF/dTheta on the device.
        """
        by_row = torch.empty_like(theta, requires_grad=False) if rows else None
        by_column = _zeros(programs_t)
        for start, stop, block in self._blocks():
            block_rows = None if by_row is None else by_row[start:stop]
            part = theta[start:stop]
            block.curvature(part, programs_t, direction, self.floor, block_rows, by_column)
        self.team.add(by_column.numpy())
        return by_column, by_row

    def hessian(self, theta: Tensor, programs_t: Tensor) -> Tensor:
        """H_j = sum_i x_ij / lambda_ij^2 u_i u_i^T with u_i = s_i theta_i, for every gene j.

        Parameters
        ----------
        theta : Tensor, shape (N, k)
            On the device.
        programs_t : Tensor, shape (M, k)
            float64 on the host.

        Returns
        -------
        Tensor, shape (M, k (k + 1) / 2)
            Lower triangles, packed row by row; float64 on the host.
        """
        rank = theta.shape[1]
        out = torch.zeros((self.shape[1], rank * (rank + 1) // 2), dtype=torch.float64)
        for start, stop, block in self._blocks():
            block.hessian(theta[start:stop], programs_t, self.floor, out)
        self.team.add(out.numpy())
        return out

    def weights(self, theta: Tensor) -> Tensor:
        """Sum over cells of s_i theta_ik, those of all processes: (k,) float64 on the host."""
        return usage_sums(theta, self.scale, self.threads, self.team)

    def rate_total(self, theta: Tensor, programs_t: Tensor) -> float:
        """Sum of all N x M rates, as a product of column sums.

        Parameters
        ----------
        theta : Tensor, shape (N, k)
            On the device.
        programs_t : Tensor, shape (M, k)
            float64 on the host.
        """
        background = self.floor * self.all_cells * self.shape[1]
        return float(self.weights(theta) @ programs_t.detach().sum(0)) + background

    def deviance(self, log_sum: float, rate_total: float) -> float:
        """The deviance 2 sum [x log(x / lambda) - (x - lambda)].

        Parameters
        ----------
        log_sum : float
            Sum of x log lambda, over the non-zeros.
        rate_total : float
            Sum of all rates lambda.
        """
        return 2.0 * (self.saturated - log_sum + rate_total)


def rows_counts(
    matrix: sp.csr_matrix,
    scale: np.ndarray | None = None,
    *,
    floor: float = FLOOR,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    threads: Threads = SERIAL,
    cuts: Sequence[int] | None = None,
) -> Counts:
    """Counts of a CSR matrix (N, M) in memory; on the CPU without a copy of it.

    Parameters
    ----------
    matrix : scipy.sparse.csr_matrix, shape (N, M)
    scale : ndarray, shape (N,), optional
        Library sizes; ones by default.
    floor, device, dtype, threads
        See `Counts` and `Place`.
    cuts : sequence of int, optional
        Where to cut it into pieces, for example (0, 500, 1000), as streaming does; of one piece by
        default.
    """
    cells, genes = matrix.shape
    place = Place(device, dtype, threads)
    sizes = np.ones(cells) if scale is None else np.asarray(scale, dtype=np.float64)
    indptr = np.asarray(matrix.indptr, dtype=np.int64)
    indices = np.asarray(matrix.indices, dtype=np.int32)
    blocks = []
    for start, stop in _pairs(cuts, cells):
        inside = slice(indptr[start], indptr[stop])
        ends = indptr[start : stop + 1]
        arrays = ends, indices[inside], matrix.data[inside], sizes[start:stop]
        blocks.append((start, stop, place.rows(*arrays, genes, block_borders(ends, genes))))
    return Counts(lambda: blocks, matrix.shape, sizes, place, floor=floor)


def tensor_counts(
    matrix: sp.csr_matrix,
    scale: np.ndarray | None = None,
    *,
    floor: float = FLOOR,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    cuts: Sequence[int] | None = None,
) -> Counts:
    """Counts of a CSR matrix (N, M) as tensors on any device.

    The other parameters are those of `rows_counts`.
    """
    cells, genes = matrix.shape
    sizes = np.ones(cells) if scale is None else np.asarray(scale, dtype=np.float64)
    indptr = np.asarray(matrix.indptr, dtype=np.int64)
    blocks = []
    for start, stop in _pairs(cuts, cells):
        inside = slice(indptr[start], indptr[stop])
        block = SparseBlock(
            torch.as_tensor(indptr[start : stop + 1] - indptr[start], device=device),
            torch.as_tensor(matrix.indices[inside], dtype=torch.int64, device=device),
            torch.as_tensor(matrix.data[inside], dtype=dtype, device=device),
            torch.as_tensor(sizes[start:stop], dtype=dtype, device=device),
            genes,
        )
        blocks.append((start, stop, block))
    return Counts(lambda: blocks, matrix.shape, sizes, Place(device, dtype), floor=floor)


def dense_counts(
    entries: Tensor, scale: np.ndarray | None = None, *, floor: float = FLOOR, rows: int = 8192
) -> Counts:
    """Counts of a dense tensor, where it is and in its precision.

    Parameters
    ----------
    entries : Tensor, shape (n, M)
        Non-negative; need not be whole numbers: the expected programs of the layer before, for
        example.
    scale : ndarray, shape (n,), optional
        Ones by default.
    floor : float
    rows : int
        Rows at a time: matrices of their size are formed.
    """
    entries = entries.detach()
    place = Place(entries.device, entries.dtype)
    sizes = np.ones(entries.shape[0]) if scale is None else np.asarray(scale, dtype=np.float64)
    factors = torch.as_tensor(sizes).to(entries)
    blocks = []
    for start in range(0, entries.shape[0], rows):
        part = slice(start, min(start + rows, entries.shape[0]))
        borders = np.array([0, part.stop - start])
        block = DenseBlock(entries[part], factors[part], borders, place.threads, place.sums)
        blocks.append((start, part.stop, block))
    return Counts(lambda: blocks, (entries.shape[0], entries.shape[1]), sizes, place, floor=floor)


def _pairs(cuts: Sequence[int] | None, cells: int) -> list[tuple[int, int]]:
    ends = [0, cells] if cuts is None else list(cuts)
    return list(zip(ends[:-1], ends[1:], strict=True))


def _zeros(programs_t: Tensor) -> Tensor:
    return torch.zeros(programs_t.shape, dtype=torch.float64)
