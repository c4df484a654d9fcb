"""Coordinate descent on quadratic models over x >= 0, on the CPU or any other device."""

from __future__ import annotations

from importlib.util import find_spec

from torch import Tensor

from neuralNMF.kernels.descent import descend_rows
from neuralNMF.kernels.vectors import TILE
from neuralNMF.threads import SERIAL, Threads


def descend(
    theta: Tensor, linear: Tensor, curvature: Tensor, sweeps: int, threads: Threads = SERIAL
) -> None:
    """Lower <linear_i, t> + 1/2 t' H t over t >= 0 from t = theta_i for every row, in place.

    Parameters
    ----------
    theta : Tensor, shape (N, k)
        On any device; overwritten.
    linear : Tensor, shape (N, k)
        As theta.
    curvature : Tensor, shape (k, k)
        H, positive semi-definite, float64 on the host. A coordinate without curvature stays.
    sweeps : int
        Passes over the coordinates.
    threads : Threads
        Share the rows, on the CPU.
    """
    matrix = curvature.to(device=theta.device, dtype=theta.dtype)
    if theta.device.type == "cuda" and find_spec("triton") is not None:
        descend_on_gpu(theta, linear, matrix, sweeps)
        return
    if theta.device.type != "cpu":
        descend_columns(theta, linear, matrix, sweeps)
        return
    arrays = theta.numpy(), linear.numpy(), matrix.numpy(), sweeps
    threads.run(
        lambda first, past: descend_rows(first, past, *arrays), threads.split(theta.shape[0], TILE)
    )


def beyond(old: Tensor, new: Tensor, momentum: float) -> Tensor:
    """max(0, new + momentum (new - old)), in place of ``old``.

    Parameters
    ----------
    old, new : Tensor
        Of one shape; ``old`` is overwritten, and returned.
    momentum : float
    """
    return old.mul_(-momentum).add_(new, alpha=1 + momentum).clamp_min_(0)


def descend_on_gpu(theta: Tensor, linear: Tensor, curvature: Tensor, sweeps: int) -> None:
    """Take the steps of `kernels.descent.descend_rows` by one program for some rows.

    Parameters
    ----------
    theta, linear : Tensor, shape (N, k)
        ``theta`` is overwritten.
    curvature : Tensor, shape (k, k)
        As theta.
    sweeps : int
    """
    # Triton, which it is written in, is there only with the builds of torch for CUDA.
    from neuralNMF.kernels.gpu import ROWS, descend_tiles

    rows, rank = theta.shape
    moved = theta.contiguous()
    descend_tiles[(-(-rows // ROWS),)](
        moved, linear.contiguous(), curvature.contiguous(), rows, rank, sweeps,
        K=1 << max(rank - 1, 0).bit_length(), ROWS=ROWS, num_warps=4,
    )  # fmt: skip
    if moved is not theta:
        theta.copy_(moved)


def descend_columns(theta: Tensor, linear: Tensor, curvature: Tensor, sweeps: int) -> None:
    """Take the steps of `kernels.descent.descend_rows`, in its order, for all rows at once.

    Parameters
    ----------
    theta, linear : Tensor, shape (N, k)
        ``theta`` is overwritten.
    curvature : Tensor, shape (k, k)
        As theta.
    sweeps : int
    """
    alive = (curvature.diagonal() > 0).nonzero().ravel().tolist()
    for _ in range(sweeps):
        for q in alive:
            slope = theta @ curvature[q] + linear[:, q]
            theta[:, q] = (theta[:, q] - slope / curvature[q, q]).clamp_min_(0)
