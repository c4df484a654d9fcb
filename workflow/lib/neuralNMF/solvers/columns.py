"""`descend_rows` in torch, for devices that the compiled loops do not reach."""

from torch import Tensor


def descend_columns(theta: Tensor, linear: Tensor, curvature: Tensor, sweeps: int) -> None:
    """Coordinate descent, all rows at once, in place of ``theta``.

    The same steps in the same order as `descend_rows`. Shape: theta, linear (N, k);
    curvature (k, k).
    """
    alive = (curvature.diagonal() > 0).nonzero().ravel().tolist()
    for _ in range(sweeps):
        for q in alive:
            slope = theta @ curvature[q] + linear[:, q]
            theta[:, q] = (theta[:, q] - slope / curvature[q, q]).clamp_min_(0)
