"""Products of tall matrices with small results: Theta^T Theta, R R^T; and tall times small.

They run over parts of a fixed number of rows, each by one thread, so that neither the number of
threads nor how X is cut changes a bit of them.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from neuralNMF.kernels.gram import rows_gram
from neuralNMF.threads import SERIAL, Threads

# Rows that are summed by one thread, in one go; and on other devices.
_PART, _DEVICE_PART = 16384, 1 << 22


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
    return _product_on_device(rows, rows)


def cross_gram(left: Tensor, right: Tensor, threads: Threads = SERIAL) -> Tensor:
    """left^T right, added up over the parts in double precision on the host.

    Parameters
    ----------
    left : Tensor, shape (N, k)
        In single or double precision, on any device.
    right : Tensor, shape (N, m)
        As ``left``.
    threads : Threads
        Share the rows, on the CPU.

    Returns
    -------
    Tensor, shape (k, m)
        float64 on the host.
    """
    if left.device.type != "cpu":
        return _product_on_device(left, right)

    def part_product(start: int) -> Tensor:
        rows = slice(start, start + _PART)
        return left[rows].T.double() @ right[rows].double()

    starts = [(start,) for start in range(0, left.shape[0], _PART)]
    total = torch.zeros((left.shape[1], right.shape[1]), dtype=torch.float64)
    for part in threads.run(part_product, starts):
        total += part
    return total


def times_small(rows: Tensor, matrix: Tensor, threads: Threads = SERIAL) -> Tensor:
    """rows @ matrix.

    Parameters
    ----------
    rows : Tensor, shape (N, k)
        On any device.
    matrix : Tensor, shape (k, m)
        Of any type, on the host.
    threads : Threads
        Share the rows, on the CPU.

    Returns
    -------
    Tensor, shape (N, m)
        As ``rows``.
    """
    small = matrix.to(rows)
    if rows.device.type != "cpu":
        return rows @ small
    out = rows.new_empty((rows.shape[0], matrix.shape[1]))

    def part_product(start: int) -> None:
        part = slice(start, start + _PART)
        torch.matmul(rows[part], small, out=out[part])

    threads.run(part_product, [(start,) for start in range(0, rows.shape[0], _PART)])
    return out


def _product_on_device(left: Tensor, right: Tensor) -> Tensor:
    """left^T right, on their device; (k, m), float64 on the host."""
    # Apple's devices have no double precision: sums of short parts.
    wide, size = torch.float64, _DEVICE_PART
    if left.device.type == "mps":
        wide, size = left.dtype, _PART
    total = torch.zeros((left.shape[1], right.shape[1]), dtype=wide, device=left.device)
    for one, other in zip(left.detach().split(size), right.detach().split(size), strict=True):
        total += one.to(wide).T @ other.to(wide)
    return total.cpu().double()
