"""Gram matrices: Theta^T Theta of the cells, R R^T of the genes."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from neuralNMF.kernels.gram import rows_gram

# Rows of a part, or for a thread: below, it would cost more to hand them over than to sum them.
_PART = 16384


def gram(rows: Tensor) -> Tensor:
    """rows^T rows in double precision on the host.

    Shape: rows (N, k), single or double precision, on any device; returns (k, k) float64.
    """
    count, rank = rows.shape
    if rows.device.type == "cpu":
        threads = min(torch.get_num_threads(), 1 + count // _PART)
        totals = np.zeros((threads, rank, rank))
        rows_gram(np.ascontiguousarray(rows.detach().numpy()), totals)
        return torch.from_numpy(totals.sum(axis=0))
    total = torch.zeros((rank, rank), dtype=torch.float64)
    # Apple's devices have no double precision.
    wide = rows.dtype if rows.device.type == "mps" else torch.float64
    for part in rows.split(_PART):
        part = part.to(wide)
        total += (part.T @ part).cpu().double()
    return total
