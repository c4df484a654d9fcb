"""Sums over cells that do not depend on how the cells are shared out among processes.

They are taken in twice the double precision: two ways to share them out differ in the last digit of
a double about once in 10^15 sums. A posterior or a step follows from sums in single precision:
where a sum differs in its last digit, now and then an entry is rounded the other way, and a fit
that goes on for some hundred steps ends elsewhere.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from neuralNMF.kernels.exact import add_exactly
from neuralNMF.kernels.vectors import read_only
from neuralNMF.team import ALONE, Team
from neuralNMF.threads import SERIAL, Threads

_CELLS = 1 << 20  # at a time, that are copied from another device


class ExactSums:
    """Sums in twice the double precision, rounded once, at the end.

    Parameters
    ----------
    columns : int
        How many sums there are.
    threads : Threads
        Share the cells.
    """

    def __init__(self, columns: int, threads: Threads = SERIAL) -> None:
        self._parts = np.zeros((2, columns))
        self._threads = threads

    def add(self, terms: np.ndarray, scale: np.ndarray | None = None) -> None:
        """Add the rows of terms (n, columns), each times its entry of ``scale`` (n,)."""
        cells = len(terms)
        if scale is not None and len(scale) != cells:
            raise ValueError(f"{len(scale)} factors for {cells} rows")
        arrays = np.ascontiguousarray(terms), np.ones(cells) if scale is None else scale
        given = [read_only(array) for array in arrays]

        def sums(first: int, past: int) -> np.ndarray:
            parts = np.zeros_like(self._parts)
            add_exactly(first, past, *given, *parts)
            return parts

        parts = [self._parts, *self._threads.run(sums, self._threads.split(cells))]
        self._parts = _one_of(np.array(parts))

    def total(self, team: Team = ALONE) -> np.ndarray:
        """The sums over the cells of all processes, (columns,) float64."""
        # Others add nothing to the place of a process, so all get what each has.
        parts = np.zeros((team.size, *self._parts.shape))
        parts[team.rank] = self._parts
        team.add(parts)
        high, low = _one_of(parts)
        return high + low


def usage_sums(
    theta: Tensor, scale: Tensor | None = None, threads: Threads = SERIAL, team: Team = ALONE
) -> Tensor:
    """Sums of the columns of theta (N, k), on any device, over the cells of all processes.

    Parameters
    ----------
    theta : Tensor, shape (N, k)
    scale : Tensor or None, shape (N,)
        Factor of each cell, float64 on the host; None for ones.
    threads : Threads
    team : Team

    Returns
    -------
    Tensor, shape (k,)
        float64 on the host.
    """
    sums = ExactSums(theta.shape[1], threads)
    for first in range(0, theta.shape[0], _CELLS):
        part = slice(first, first + _CELLS)
        factors = None if scale is None else scale[part].numpy()
        sums.add(theta[part].detach().cpu().numpy(), factors)
    return torch.from_numpy(sums.total(team))


def _one_of(parts: np.ndarray) -> np.ndarray:
    """High and low sums (2, k) of several (n, 2, k)."""
    terms = parts.reshape(-1, parts.shape[-1])
    total = np.zeros(parts.shape[1:])
    add_exactly(0, len(terms), read_only(terms), read_only(np.ones(len(terms))), *total)
    return total
