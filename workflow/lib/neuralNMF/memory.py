"""How much memory a fit takes, estimated before it starts; docs/memory.md says it in words."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import psutil

from neuralNMF.errors import InputError

_log = logging.getLogger(__name__)

_BASE = 600_000_000  # Python, torch, numba and their compiled code
_COPIES = 4  # of Theta_1, at the most, in the optimisers without a step size
_GROUP_SUMS = 16  # a sum of a group of cells, and its part of the sums that are added to it
_TABLES = 250  # a cell: its name, its columns of obs, vectors of the fit
_SLACK = 1.3  # what the allocator keeps, and short-lived parts of these arrays
GIGABYTE = 1e9


@dataclass(frozen=True)
class Demand:
    """What a fit's memory depends on.

    Attributes
    ----------
    cells, genes, nonzeros : int
        N, M and the non-zero counts of the data set.
    rank : int
        Programs k_1 of the first layer.
    item : int
        Bytes of a value of Theta: 4 or 8.
    dense : bool
        Whether X is held as a dense matrix.
    held : int
        Cells of X in memory at a time.
    threads : int
        Of the host; each has sums of its own.
    group_sums : int
        Sums over groups of cells for each gene, where factors of batches are learned.
    """

    cells: int
    genes: int
    nonzeros: int
    rank: int
    item: int
    dense: bool
    held: int
    threads: int
    group_sums: int = 0

    @property
    def bytes_per_cell(self) -> float:
        """Bytes of X for each cell held: 8 a non-zero and, if dense, those of its entries."""
        sparse = 8.0 * self.nonzeros / self.cells
        return sparse + self.item * self.genes if self.dense else sparse

    @property
    def fixed(self) -> float:
        """Bytes that do not depend on how many cells of X are held."""
        theta = _COPIES * self.cells * self.rank * self.item
        # The sums of the blocks that the threads work on, and the factors of the NNLS.
        small = self.genes * self.rank * (4 * self.threads * self.item + 4 * (self.rank + 1))
        small += _GROUP_SUMS * self.group_sums * self.genes
        return _SLACK * theta + _TABLES * self.cells + small + _BASE

    @property
    def total(self) -> float:
        """Bytes at the peak."""
        return _SLACK * self.held * self.bytes_per_cell + self.fixed

    def cells_that_fit(self, available: float) -> int:
        """Cells of X that may be held in `available` bytes; 0 where none may."""
        return max(0, int((available - self.fixed) / (_SLACK * self.bytes_per_cell)))


def check_memory(demand: Demand, available: float | None = None, sharing: int = 1) -> None:
    """Log the estimate, and refuse a fit that would not fit.

    Parameters
    ----------
    demand : Demand
        Of the fit.
    available : float or None
        Bytes; None asks the system.
    sharing : int
        Processes that share them, each with about the same demand.

    Raises
    ------
    InputError
        The estimate is above what is available; the message says how many cells could be held.
    """
    if available is None:
        available = float(psutil.virtual_memory().available)
    available /= sharing
    _log.info(
        "memory: about %.2f GB at the peak, %.2f GB available",
        demand.total / GIGABYTE,
        available / GIGABYTE,
    )
    if demand.total <= available:
        return
    fitting = min(demand.cells_that_fit(0.9 * available), demand.held - 1)
    advice = f"set 'data_mem_size: {fitting}' to stream the data"
    if fitting < 1:
        advice = "even streamed it would not fit: take fewer cells, genes or programs"
    raise InputError(
        f"the fit would take about {demand.total / GIGABYTE:.1f} GB of memory and "
        f"{available / GIGABYTE:.1f} GB are available: {advice}, or run it where more is."
    )
