"""Gram matrices of tall matrices: Theta^T Theta of the cells, R R^T of the genes."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from neuralNMF.kernels.gram import rows_gram
from neuralNMF.threads import SERIAL, Threads

# Rows that are summed by one thread, in one go.
_PART = 16384


def gram(rows: Tensor, threads: Threads = SERIAL) -> Tensor:
    """rows^T rows, in double precision on the host.

    Parameters
    ----------
    rows : Tensor, shape (N, k)
        In single or double precision, on any device.
    threads : Threads
        Share the rows, on the CPU.

    Returns
    -------
    Tensor, shape (k, k)
        float64 on the host.
    """
    count, rank = rows.shape
    starts = range(0, count, _PART)
    if rows.device.type == "cpu":
        array = np.ascontiguousarray(rows.detach().numpy())

        def part_gram(start: int) -> np.ndarray:
            total = np.zeros((rank, rank))
            rows_gram(start, min(start + _PART, count), array, total)
            return total

        parts = threads.run(part_gram, [(start,) for start in starts])
        return torch.from_numpy(sum(parts, start=np.zeros((rank, rank))))
    total = torch.zeros((rank, rank), dtype=torch.float64)
    # Apple's devices have no double precision.
    wide = rows.dtype if rows.device.type == "mps" else torch.float64
    for part in rows.split(_PART):
        part = part.to(wide)
        total += (part.T @ part).cpu().double()
    return total
