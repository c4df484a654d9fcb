"""EM for X ~ Poisson(diag(s) Theta W^T): KL-NMF of both factors, or one factor with the other held.

One pass over the non-zeros yields what the updates of both factors need. With the columns of W held
at sum one, taking both at once is the EM step of Hofmann (1999; probabilistic latent semantic
analysis), which never raises the deviance and costs half of Lee & Seung's alternation. With one
factor held the problem is convex, and the step is theirs. Both are extrapolated in the logarithm,
x_new (x_new / x_old)^power (`solvers.extrapolation`), and taken back where the deviance rises;
docs/poisson_measurements.md compares the variants.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from neuralNMF.cells.counts import Counts, RatePass
from neuralNMF.poisson.deviance import deviance_of
from neuralNMF.solvers.extrapolation import Extrapolation

_LOG = logging.getLogger(__name__)
TINY = 1e-30
# A factor may change at most so much by one extrapolation; keeps early, large steps in bounds.
_LARGEST_CHANGE = 5.0
# One factor has settled where the deviance falls by less than this share of itself in a pass.
_SETTLED = 1e-5
# KL-NMF has converged where it falls by less than ``tol`` of itself in so many passes.
_WINDOW = 20

Factors = tuple[Tensor, ...]
Step = Callable[[Factors], tuple[float, Factors]]
Report = Callable[[float], None]


@dataclass(frozen=True)
class KlResult:
    """What `kl_nmf` found.

    Attributes
    ----------
    theta : Tensor, shape (N, k)
        Usage, on the device of the counts.
    programs_t : Tensor, shape (M, k)
        Programs, float64 on the host; columns sum to one, or to zero where a program is dead.
    deviance : float
        Of these two factors.
    history : list of float
        The deviance before each pass, of the start that won.
    converged : bool
        False where the limit of passes came first.
    """

    theta: Tensor
    programs_t: Tensor
    deviance: float
    history: list[float]
    converged: bool


def kl_nmf(
    counts: Counts,
    starts: Sequence[tuple[Tensor, Tensor]],
    *,
    passes: int = 500,
    trial: int = 20,
    tol: float = 1e-4,
    report: Report | None = None,
) -> KlResult:
    """Minimise the Poisson deviance over Theta >= 0 and W >= 0.

    With several starts, all run for ``trial`` passes each and the best goes on to its end. Needs
    four times Theta while it runs, and twice Theta for each further start.

    Parameters
    ----------
    counts : Counts
        X (N, M) with the library sizes s (N,).
    starts : sequence of (theta, programs_t)
        Shapes (N, k), on the device and in the precision of the counts, and (M, k), float64 on the
        host. An entry of zero stays zero.
    passes : int
        The limit, of each start.
    trial : int
        Passes after which the best start is chosen.
    tol : float
        Converged where the deviance has fallen by less than this share of itself in 20 passes.
    report : callable, optional
        Called with the lowest deviance so far of the start at work, after every pass.

    Returns
    -------
    KlResult
    """
    scale = _positive_scale(counts).to(device=counts.device, dtype=counts.dtype)[:, None]

    def step(factors: Factors) -> tuple[float, Factors]:
        theta, programs_t = factors
        rate_pass = counts.rates(theta, programs_t, rows=True, columns=True)
        deviance = deviance_of(rate_pass, theta, programs_t, counts)
        return deviance, em_step(theta, programs_t, rate_pass, scale)

    def converges(em: _ExtrapolatedEm, limit: int) -> bool:
        while len(em.history) < limit:
            em.advance()
            low = min(em.history)
            if report is not None:
                report(low)
            if len(em.history) > _WINDOW and min(em.history[:-_WINDOW]) - low <= tol * low:
                return True
        return False

    def low_after_trial(em: _ExtrapolatedEm) -> float:
        converges(em, min(trial, passes))
        return min(em.history)

    runs = [_ExtrapolatedEm(step, start, _with_unit_programs) for start in starts]
    best = min(runs, key=low_after_trial) if len(runs) > 1 else runs[0]
    runs.clear()  # the losers' factors
    converged = converges(best, passes)
    theta, programs_t = best.plain
    deviance = deviance_of(counts.rates(theta, programs_t), theta, programs_t, counts)
    _LOG.info("KL-NMF, rank %d: deviance %.8g", theta.shape[1], deviance)
    return KlResult(theta, programs_t, deviance, best.history, converged)


def usage_given(
    counts: Counts, programs_t: Tensor, *, passes: int, report: Report | None = None
) -> Tensor:
    """The usage that explains the counts best by given programs.

    Begins with all programs alike. Needs three times Theta while it runs.

    Parameters
    ----------
    counts : Counts
        X (N, M) with the library sizes s (N,).
    programs_t : Tensor, shape (M, k)
        float64 on the host.
    passes : int
        The limit; ends before it where the deviance has settled.
    report : callable, optional
        Called with the deviance after every pass.

    Returns
    -------
    Tensor, shape (N, k)
        Theta, on the device and in the precision of the counts; zero for a program of zeros.
    """
    mass = programs_t.sum(0).to(device=counts.device, dtype=counts.dtype)
    each = (usage_totals(counts) / programs_t.sum().clamp(min=TINY)).to(mass)
    scale = _positive_scale(counts).to(mass)[:, None]

    def step(factors: Factors) -> tuple[float, Factors]:
        (theta,) = factors
        rate_pass = counts.rates(theta, programs_t, rows=True)
        deviance = deviance_of(rate_pass, theta, programs_t, counts)
        return deviance, (rate_pass.rows.mul_(theta).div_(scale).div_(mass.clamp(min=TINY)),)

    return _settled(step, each[:, None] * (mass > 0), passes, report)


def programs_given(counts: Counts, theta: Tensor, programs_t: Tensor, *, passes: int) -> Tensor:
    """The programs that explain the counts best by a given usage.

    Parameters
    ----------
    counts : Counts
        X (N, M) with the library sizes s (N,).
    theta : Tensor, shape (N, k)
        The usage, on the device of the counts.
    programs_t : Tensor, shape (M, k)
        Where to begin, float64 on the host: an entry of zero stays zero.
    passes : int
        The limit; ends before it where the deviance has settled.

    Returns
    -------
    Tensor, shape (M, k)
        float64 on the host; columns sum to what the counts ask for.
    """
    weights = counts.weights(theta).clamp(min=TINY)

    def step(factors: Factors) -> tuple[float, Factors]:
        (programs_t,) = factors
        rate_pass = counts.rates(theta, programs_t, columns=True)
        deviance = deviance_of(rate_pass, theta, programs_t, counts)
        return deviance, (rate_pass.columns.mul_(programs_t).div_(weights),)

    return _settled(step, programs_t, passes, None)


def em_step(
    theta: Tensor, programs_t: Tensor, rate_pass: RatePass[Tensor, Tensor], scale: Tensor
) -> tuple[Tensor, Tensor]:
    """The EM step of both factors, from a pass at these factors; its buffers are used up.

    Never raises the deviance where the columns of W sum to one, as those of the result do.

    Shape: theta (N, k), programs_t (M, k), as the results; scale (N, 1), library sizes above zero;
    ``rate_pass`` with both derivatives.
    """
    new_theta = rate_pass.rows.mul_(theta).div_(scale)
    return new_theta, unit_columns(rate_pass.columns.mul_(programs_t))


def extrapolated(new: Tensor, old: Tensor, power: float) -> Tensor:
    """``new (new / old)^power`` entry by entry, within bounds, in the buffer of ``old``."""
    ratio = old.add_(TINY).reciprocal_().mul_(new)
    return ratio.clamp_(1 / _LARGEST_CHANGE, _LARGEST_CHANGE).pow_(power).mul_(new)


def unit_columns(programs_t: Tensor) -> Tensor:
    """Programs (M, k) with columns scaled to sum one; a column of zeros stays so."""
    return programs_t / programs_t.sum(0).clamp(min=TINY)


def usage_totals(counts: Counts) -> Tensor:
    """Sum of each cell's usage (N,), float64, where programs sum to one: x_i+ / s_i."""
    return counts.totals / _positive_scale(counts)


def _positive_scale(counts: Counts) -> Tensor:
    return counts.scale.clamp(min=TINY)


def _with_unit_programs(factors: Factors) -> Factors:
    theta, programs_t = factors
    return theta, unit_columns(programs_t)


def _settled(step: Step, start: Tensor, passes: int, report: Report | None) -> Tensor:
    """One factor after EM steps until the deviance has settled."""
    em = _ExtrapolatedEm(step, (start,))
    for _ in range(passes):
        fallen = em.advance()
        if report is not None:
            report(em.history[-1])
        if fallen <= _SETTLED * em.history[-1]:
            break
    return em.plain[0]


class _ExtrapolatedEm:
    """EM steps of some factors at once, extrapolated; one pass over the counts each.

    Parameters
    ----------
    step : callable
        From factors to (their deviance, the factors after a plain step), by one pass.
    start : tuple of Tensor
    settle : callable, optional
        Brings extrapolated factors into the form that the step expects.

    Attributes
    ----------
    plain : tuple of Tensor
        The factors after the last plain step; none before the first pass.
    history : list of float
        The deviance of the point that each pass was at, kept or not.
    """

    def __init__(
        self,
        step: Step,
        start: Factors,
        settle: Callable[[Factors], Factors] | None = None,
    ) -> None:
        self.plain: Factors = ()
        self.history: list[float] = []
        self._step, self._settle = step, settle
        self._point, self._is_extrapolated = start, False
        self._level = math.inf  # the deviance of the last point that was kept
        self._extrapolation = Extrapolation.logarithmic()

    def advance(self) -> float:
        """One pass: keeps or takes back the last extrapolation, and goes on.

        Returns how far the deviance lies below that of the last point that was kept, infinity where
        there is none to compare with.
        """
        deviance, plain = self._step(self._point)
        self.history.append(deviance)
        if self._is_extrapolated and not deviance <= self._level:
            # Too far: on from the plain step, and more carefully.
            self._point, self._is_extrapolated = self.plain, False
            self._level = math.inf
            self._extrapolation.retreat()
            return math.inf
        fallen, self._level = self._level - deviance, deviance
        self._point = plain
        if self.plain:
            power = self._extrapolation.rate
            pairs = zip(plain, self.plain, strict=True)
            self._point = tuple(extrapolated(new, old, power) for new, old in pairs)
            if self._settle is not None:
                self._point = self._settle(self._point)
            self._is_extrapolated = True
            self._extrapolation.grow()
        self.plain = plain
        return fallen
