"""Steps over x >= 0, wherever the numbers lie: descent on quadratic models, extrapolation."""

from __future__ import annotations

from torch import Tensor

from neuralNMF.kernels.descent import descend_rows
from neuralNMF.solvers.columns import descend_columns


def descend(theta: Tensor, linear: Tensor, curvature: Tensor, sweeps: int, threads: int) -> None:
    """Lowers <linear_i, t> + 1/2 t' H t over t >= 0 from t = theta_i for every row, in place.

    Shape: theta, linear (N, k) on any device; H (k, k) float64 on the host.
    """
    own = curvature.to(device=theta.device, dtype=theta.dtype)
    if theta.device.type == "cpu":
        descend_rows(theta.numpy(), linear.numpy(), own.numpy(), sweeps, threads)
    else:
        descend_columns(theta, linear, own, sweeps)


def beyond(old: Tensor, new: Tensor, momentum: float) -> Tensor:
    """max(0, new + momentum (new - old)), in place of ``old``. Shape: any, the same."""
    return old.mul_(-momentum).add_(new, alpha=1 + momentum).clamp_min_(0)
