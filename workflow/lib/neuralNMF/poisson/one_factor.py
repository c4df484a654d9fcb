"""One factor of X ~ Poisson(diag(s) Theta W^T) with the other held: a convex problem.

Multiplicative steps (EM), extrapolated in the logarithm as in ``klnmf``.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from neuralNMF.cells.counts import Counts
from neuralNMF.poisson.em import GROWTH, LARGEST_POWER, RETREAT, extrapolate

_TINY = 1e-30
# The deviance has settled where it falls by less than this share of itself in a pass.
_SETTLED = 1e-5
Report = Callable[[int, float], None]


def usage_given(
    counts: Counts, programs_t: Tensor, *, passes: int, report: Report | None = None
) -> Tensor:
    """Theta (N, k), on the device of the counts, that explains them best by given programs.

    From all programs alike, in at most ``passes`` passes, each reported by its number and deviance.
    Shape: programs_t (M, k) float64; the usage of a column of zeros is zero. Memory: three times
    Theta.
    """
    mass = programs_t.sum(0).to(device=counts.device, dtype=counts.dtype)
    scale = counts.scale.clamp(min=_TINY)
    each = (counts.totals / scale / programs_t.sum().clamp(min=_TINY)).to(mass)
    scale = scale.to(mass)[:, None]

    def step(theta: Tensor) -> tuple[float, Tensor]:
        found = counts.rates(theta, programs_t, rows=True)
        value = counts.deviance(found.log_sum, counts.rate_total(theta, programs_t))
        return value, found.rows.mul_(theta).div_(scale).div_(mass.clamp(min=_TINY))

    return _descend(step, each[:, None] * (mass > 0), passes, report)


def programs_given(
    counts: Counts, theta: Tensor, programs_t: Tensor, *, passes: int, report: Report | None = None
) -> Tensor:
    """Loadings (M, k) that explain the counts best by a given usage, from ``programs_t``.

    Shape: theta (N, k) on the device, programs_t (M, k) float64: an entry of zero stays zero.
    """
    weights = counts.weights(theta).clamp(min=_TINY)

    def step(programs_t: Tensor) -> tuple[float, Tensor]:
        found = counts.rates(theta, programs_t, columns=True)
        value = counts.deviance(found.log_sum, counts.rate_total(theta, programs_t))
        return value, found.columns.mul_(programs_t).div_(weights)

    return _descend(step, programs_t, passes, report)


def _descend(
    step: Callable[[Tensor], tuple[float, Tensor]],
    point: Tensor,
    passes: int,
    report: Report | None,
) -> Tensor:
    """The last plain step; step: (deviance of a point, the step from it)."""
    plain: Tensor | None = None
    power, previous, extrapolated = 0.5, float("inf"), False
    for number in range(1, passes + 1):
        value, moved = step(point)
        if report is not None:
            report(number, value)
        if extrapolated and not value <= previous:
            # Too far: on from the plain step, and more carefully.
            point, power, extrapolated, previous = plain, power / RETREAT, False, float("inf")
            continue
        if previous - value <= _SETTLED * value:
            return moved
        previous = value
        if plain is None:
            point = moved
        else:
            point, extrapolated = extrapolate(moved, plain, power), True
            power = min(LARGEST_POWER, GROWTH * power)
        plain = moved
    return point if plain is None else plain
