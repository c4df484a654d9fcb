"""`descend_rows` in torch, for devices that the compiled loops do not reach."""

from torch import Tensor


def descend_columns(theta: Tensor, slope: Tensor, curvature: Tensor, sweeps: int) -> None:
    """Coordinate descent, all rows at once, in place of ``theta`` and ``slope``.

    The same steps in the same order as `descend_rows`. Shape: theta, slope (N, k);
    curvature (k, k).
    """
    alive = (curvature.diagonal() > 0).nonzero().ravel().tolist()
    for _ in range(sweeps):
        for q in alive:
            moved = (theta[:, q] - slope[:, q] / curvature[q, q]).clamp_min_(0)
            slope.addr_(moved - theta[:, q], curvature[q])
            theta[:, q] = moved
