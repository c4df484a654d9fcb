"""KL-NMF: the depth-1 Poisson model X ~ Poisson(diag(s) Theta W^T), by extrapolated EM.

One pass over the non-zeros yields what both multiplicative updates need. With the columns of W held
at sum one, taking both at once is the EM step of Hofmann (1999; probabilistic latent semantic
analysis), which never raises the deviance and costs half of Lee & Seung's alternation. It is
extrapolated in the logarithm, y = x_new (x_new / x_old)^beta, beta growing while the deviance falls
and taken back where it rises (after Ang & Gillis 2019, Neural Computation 31(2), who do so linearly
for least squares); docs/poisson.md compares the variants.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum

import torch
from torch import Tensor

from neuralNMF.cells.counts import Counts, RatePass
from neuralNMF.errors import InputError

_LOG = logging.getLogger(__name__)
_TINY = 1e-30
# A factor may change at most so much by one extrapolation; keeps early, large steps in bounds.
_LARGEST_CHANGE = 5.0
LARGEST_POWER = 3.0
GROWTH, RETREAT = 1.05, 1.5


class KlStatus(Enum):
    """How a fit ended."""

    CONVERGED = "The deviance has stopped falling."
    PASSES = "The limit of passes was reached first; allow more passes or a larger tolerance."


@dataclass
class KlResult:
    """theta (N, k); programs_t (M, k) float64, columns sum to 1 (0: dead); passes: all starts'.

    deviance: of these two factors; history: the deviance before each pass, of the start that won.
    """

    theta: Tensor
    programs_t: Tensor
    deviance: float
    history: list[float]
    passes: int
    status: KlStatus


@dataclass
class _Run:
    """One start: the point to evaluate next, and the last one that a plain EM step gave."""

    theta: Tensor
    programs_t: Tensor
    plain_theta: Tensor | None = None
    plain_programs_t: Tensor | None = None
    power: float = 0.5
    history: list[float] = field(default_factory=list)
    best: list[float] = field(default_factory=list)
    previous: float = float("inf")
    extrapolated: bool = False


def kl_nmf(
    counts: Counts,
    rank: int,
    *,
    generator: torch.Generator,
    passes: int = 500,
    tol: float = 1e-4,
    window: int = 20,
    starts: int | Sequence[tuple[Tensor, Tensor]] = 3,
    trial: int = 40,
    report: Callable[[int, float], None] | None = None,
) -> KlResult:
    """Minimises the Poisson deviance over Theta >= 0, W >= 0.

    All ``starts`` run for ``trial`` passes each and the best goes on, until the deviance has fallen
    by less than ``tol`` of itself in ``window`` passes or ``passes`` (of the winner) are done.
    ``starts``: how many random ones, or pairs of theta (N, k) and programs_t (M, k). ``report`` is
    called after every pass with the number of passes so far and the deviance.
    Memory: four times Theta while it runs, plus Theta twice for each further start.
    Raises InputError where the rank does not fit the counts.
    """
    check_rank(counts.shape, rank)
    scale = counts.scale.to(device=counts.device, dtype=counts.dtype)[:, None].clamp(min=_TINY)
    spent = 0

    def advance(run: _Run, limit: int) -> bool:
        nonlocal spent
        while len(run.history) < limit:
            _one_pass(run, counts, scale)
            spent += 1
            if report is not None:
                report(spent, run.best[-1])
            if len(run.best) > window:
                fallen = run.best[-window - 1] - run.best[-1]
                if fallen <= tol * run.best[-1]:
                    return True
        return False

    if isinstance(starts, int):
        starts = random_starts(counts, rank, generator, starts)
    candidates = [_Run(*start) for start in starts]
    del starts
    if len(candidates) > 1:
        for run in candidates:
            advance(run, min(trial, passes))
    run = min(candidates, key=lambda other: other.best[-1] if other.best else 0.0)
    candidates.clear()
    status = KlStatus.CONVERGED if advance(run, passes) else KlStatus.PASSES
    theta, programs_t = run.plain_theta, run.plain_programs_t
    found = counts.rates(theta, programs_t)
    deviance = counts.deviance(found.log_sum, counts.rate_total(theta, programs_t))
    _LOG.info("KL-NMF, rank %d: deviance %.8g after %d passes", rank, deviance, spent)
    return KlResult(theta, programs_t, deviance, run.history, spent, status)


def check_rank(shape: tuple[int, int], rank: int) -> None:
    """Raises InputError where counts of that shape (N, M) have no factorisation of the rank."""
    if not 1 <= rank <= min(shape):
        raise InputError(
            f"Rank {rank} is not possible for {shape[0]} cells x {shape[1]} genes; "
            f"choose 1 to {min(shape)}."
        )


def em_step(
    theta: Tensor, programs_t: Tensor, found: RatePass, scale: Tensor
) -> tuple[Tensor, Tensor]:
    """The EM step from what a pass found (its ``rows`` are used up); columns of W then sum to one.

    Shape: theta (N, k), programs_t (M, k), scale (N, 1). Valid where the columns of W sum
    to one or, at any point, as the step to the maximum of the expected log-likelihood.
    """
    new_theta = found.rows.mul_(theta).div_(scale)
    new_programs_t = found.columns.mul_(programs_t)
    return new_theta, new_programs_t / new_programs_t.sum(0).clamp(min=_TINY)


def _one_pass(run: _Run, counts: Counts, scale: Tensor) -> None:
    found = counts.rates(run.theta, run.programs_t, rows=True, columns=True)
    value = counts.deviance(found.log_sum, counts.rate_total(run.theta, run.programs_t))
    run.history.append(value)
    run.best.append(min(value, run.best[-1]) if run.best else value)
    if run.extrapolated and not value <= run.previous:
        # Too far: go back to the plain step, and more carefully from there.
        run.theta, run.programs_t = run.plain_theta, run.plain_programs_t
        run.power /= RETREAT
        run.extrapolated = False
        run.previous = float("inf")
        return
    run.previous = value
    theta, programs_t = em_step(run.theta, run.programs_t, found, scale)
    if run.plain_theta is None:
        run.theta, run.programs_t, run.extrapolated = theta, programs_t, False
    else:
        run.theta = extrapolate(theta, run.plain_theta, run.power)
        moved = extrapolate(programs_t, run.plain_programs_t, run.power)
        run.programs_t = moved / moved.sum(0).clamp(min=_TINY)
        run.power = min(LARGEST_POWER, GROWTH * run.power)
        run.extrapolated = True
    run.plain_theta, run.plain_programs_t = theta, programs_t


def extrapolate(new: Tensor, old: Tensor, power: float) -> Tensor:
    """new (new / old)^power, within bounds, in the buffer of ``old``."""
    ratio = old.add_(_TINY).reciprocal_().mul_(new)
    return ratio.clamp_(1 / _LARGEST_CHANGE, _LARGEST_CHANGE).pow_(power).mul_(new)


def gene_totals(counts: Counts) -> Tensor:
    """Counts of each gene (M,): with rates s_i the derivative by the programs_t is sum_i x_ij."""
    ones = torch.ones((counts.shape[0], 1), device=counts.device, dtype=counts.dtype)
    plain = torch.ones((counts.shape[1], 1), dtype=torch.float64)
    return counts.rates(ones, plain, columns=True).columns[:, 0]


def random_starts(
    counts: Counts, rank: int, generator: torch.Generator, number: int
) -> list[tuple[Tensor, Tensor]]:
    """Pairs of theta and programs_t: noise around cells' totals and genes' means."""

    def exponential(rows: int) -> Tensor:
        # Drawn on the host, so that every device starts alike.
        draw = torch.rand((rows, rank), generator=generator, dtype=torch.float32)
        return draw.clamp_(min=1e-7).log_().neg_()

    genes = gene_totals(counts)[:, None]
    wanted = counts.totals / counts.scale.clamp(min=_TINY)
    result = []
    for _ in range(number):
        programs_t = exponential(counts.shape[1]).double() * genes
        programs_t /= programs_t.sum(0).clamp(min=_TINY)
        theta = exponential(counts.shape[0]).to(counts.dtype)
        theta.mul_((wanted / theta.sum(1, dtype=torch.float64)).to(counts.dtype)[:, None])
        result.append((theta.to(counts.device), programs_t))
    return result
