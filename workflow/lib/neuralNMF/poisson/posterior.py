"""Poisson matrix factorization: the variational posterior of the programs, given Theta.

beta_kj ~ Gamma(a0, b0), x_ij ~ Poisson(s_i sum_k theta_ik beta_kj + floor). In the mean-field
family q(beta_kj) = Gamma(a_kj, b_k) the best posterior satisfies (Gopalan, Hofman & Blei 2015,
UAI, section 3.2, with Theta given):

a_kj = a0 + v_jk sum_i (x_ij / lambda_ij) s_i theta_ik,    b_k = b0 + sum_i s_i theta_ik

with v_jk = exp(E log beta_kj) = exp(digamma(a_kj)) / b_k and lambda = diag(s) Theta V^T + floor.
One update is one pass over the non-zeros and never lowers the evidence lower bound (ELBO).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from neuralNMF.cells.counts import Counts
from neuralNMF.errors import InputError


@dataclass(frozen=True)
class GammaPrior:
    """Prior of every program's entry: mean shape / rate, in counts per unit of Theta.

    A shape below one favours programs with few genes. Below 0.1 the expected logarithm of an
    entry without counts leaves the range of float32.
    """

    shape: float = 0.3
    rate: float = 1.0

    def __post_init__(self) -> None:
        if not (self.shape > 0 and self.rate > 0):
            raise InputError(
                f"The prior needs a shape and a rate above zero; got {self.shape} and {self.rate}."
            )


@dataclass(frozen=True)
class GammaPosterior:
    """q(beta): shape (M, k) and rate (k,), float64 on the host."""

    shape: Tensor
    rate: Tensor

    @property
    def mean(self) -> Tensor:
        """E[beta] transposed, (M, k)."""
        return self.shape / self.rate

    @property
    def deviation(self) -> Tensor:
        """Standard deviation of beta transposed, (M, k)."""
        return self.shape.sqrt() / self.rate

    @property
    def log_mean(self) -> Tensor:
        """E[log beta] transposed, (M, k)."""
        return torch.digamma(self.shape) - self.rate.log()


@dataclass(frozen=True)
class Solution:
    """posterior: after the last update; elbo: before each update, never falling."""

    posterior: GammaPosterior
    elbo: list[float]
    converged: bool


def first_posterior(
    counts: Counts, theta: Tensor, prior: GammaPrior, programs_t: Tensor | None = None
) -> GammaPosterior:
    """Where to begin: the programs that are known (programs_t (M, k)), else all programs alike.

    Shape: theta (N, k) on the device of ``counts``.
    """
    weights = counts.weights(theta)
    if programs_t is None:
        # With all programs alike the rate is s_i sum_k theta_ik, and Theta alone tells them apart.
        programs_t = torch.ones((counts.shape[1], theta.shape[1]), dtype=torch.float64)
        programs_t *= counts.total / (weights.sum().clamp(min=1e-300) * counts.shape[1])
    return GammaPosterior(prior.shape + programs_t.detach() * weights, prior.rate + weights)


def update(
    counts: Counts, theta: Tensor, posterior: GammaPosterior, prior: GammaPrior
) -> tuple[GammaPosterior, float]:
    """One update, and the ELBO of the posterior that it starts from (its rate set to the best)."""
    weights = counts.weights(theta)
    posterior = GammaPosterior(posterior.shape, prior.rate + weights)
    factor = posterior.log_mean.exp()
    found = counts.rates(theta, factor, columns=True)
    bound = _bound(counts, found.log_sum, weights, posterior, prior)
    return GammaPosterior(prior.shape + factor * found.columns, posterior.rate), bound


def solve(
    counts: Counts,
    theta: Tensor,
    posterior: GammaPosterior,
    prior: GammaPrior,
    *,
    steps: int = 5,
    tol: float = 1e-8,
) -> Solution:
    """Updates until the ELBO gains less than ``tol`` of itself, at most ``steps`` of them.

    Warm-started with the posterior of the last epoch, a few steps keep it at the fixed point.
    """
    bounds: list[float] = []
    for _ in range(steps):
        posterior, bound = update(counts, theta, posterior, prior)
        bounds.append(bound)
        if len(bounds) > 1 and abs(bounds[-1] - bounds[-2]) < tol * abs(bounds[-1]):
            return Solution(posterior, bounds, True)
    return Solution(posterior, bounds, False)


def elbo(counts: Counts, theta: Tensor, posterior: GammaPosterior, prior: GammaPrior) -> float:
    """Evidence lower bound of log p(X | Theta), with the best split of every count."""
    found = counts.rates(theta, posterior.log_mean.exp())
    return _bound(counts, found.log_sum, counts.weights(theta), posterior, prior)


def theta_step(counts: Counts, theta: Tensor, posterior: GammaPosterior) -> Tensor:
    """Multiplicative step of Theta that never lowers the ELBO (EM, the posterior held).

    Shape: theta (N, k); returns (N, k). theta * diag(s) R V / (s (sum_j E[beta_j])^T).
    """
    found = counts.rates(theta, posterior.log_mean.exp(), rows=True)
    scale = counts.scale.to(theta).clamp(min=torch.finfo(theta.dtype).tiny)
    mass = posterior.mean.sum(0).to(theta)
    return found.rows.mul_(theta).div_(scale[:, None]).div_(mass)


def _bound(
    counts: Counts, log_sum: float, weights: Tensor, posterior: GammaPosterior, prior: GammaPrior
) -> float:
    background = counts.floor * counts.shape[0] * counts.shape[1]
    likelihood = log_sum - float(weights @ posterior.mean.sum(0)) - background
    shape, rate = posterior.shape, posterior.rate
    a0 = torch.tensor(prior.shape, dtype=torch.float64)
    entropy = shape - rate.log() + torch.lgamma(shape) + (1 - shape) * torch.digamma(shape)
    expected = (
        a0 * torch.log(torch.tensor(prior.rate, dtype=torch.float64))
        - torch.lgamma(a0)
        + (a0 - 1) * posterior.log_mean
        - prior.rate * posterior.mean
    )
    return likelihood - counts.log_factorials + float((entropy + expected).sum())
