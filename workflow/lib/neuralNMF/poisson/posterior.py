"""Poisson matrix factorization: the variational posterior of the programs, given Theta.

beta_kj ~ Gamma(a0, b0), x_ij ~ Poisson(s_i sum_k theta_ik beta_kj + floor). In the mean-field
family q(beta_kj) = Gamma(a_kj, b_k) the best posterior satisfies (Gopalan, Hofman & Blei 2015,
UAI, section 3.2, with Theta given):

a_kj = a0 + v_jk sum_i (x_ij / lambda_ij) s_i theta_ik,    b_k = b0 + sum_i s_i theta_ik

with v_jk = exp(E log beta_kj) = exp(digamma(a_kj)) / b_k and lambda = diag(s) Theta V^T + floor.
One update is one pass over the non-zeros and never lowers the evidence lower bound (ELBO).

A gradient by the posterior goes through this fixed point a = f(a, Theta) by its adjoint equation
(implicit function theorem), column j by column j:

df/da = (diag(c) - diag(v) H diag(v)) diag(psi'(a)),    H_j = sum_i x_ij / lambda_ij^2 u_i u_i^T,

where u_i = s_i theta_i, c_jk = v_jk sum_i (x_ij / lambda_ij) u_ik and psi' is the trigamma
function. The bracket L is symmetric, so the adjoint equation (I - df/da)^T w = g is, with w =
psi'^(1/2) y, the symmetric one

S y = psi'^(-1/2) g,    S = I - psi'^(1/2) L psi'^(1/2).

The k x k matrices H of all columns come from one pass over the non-zeros, and S is solved directly;
where they would not fit, conjugate gradients take their place, one pass a step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from neuralNMF.cells.counts import Counts
from neuralNMF.errors import InputError

# What the matrices of the adjoint may take: M k^2 x 8 bytes twice, and as much again for every two
# threads. Above it, conjugate gradients run for so many steps or to this share of the right side.
_HESSIAN_BYTES = 1 << 29
_ADJOINT_STEPS, _ADJOINT_TOL = 40, 1e-4


@dataclass(frozen=True)
class GammaPrior:
    """Prior of every program's entry, with mean shape / rate, in counts per unit of Theta.

    Parameters
    ----------
    shape : float
        Below one it favours programs with few genes. Below 0.1 the expected logarithm of an entry
        without counts leaves the range of float32.
    rate : float

    Raises
    ------
    InputError
        Where one of them is not above zero.
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


def posterior_around(programs_t: Tensor, weights: Tensor, prior: GammaPrior) -> GammaPosterior:
    """A posterior to begin from: as if the programs' expected counts had been seen.

    Shape: programs_t (M, k) float64 on the host, weights (k,), sum_i s_i theta_ik.
    """
    return GammaPosterior(prior.shape + programs_t * weights, prior.rate + weights)


def update(
    counts: Counts, theta: Tensor, posterior: GammaPosterior, prior: GammaPrior
) -> tuple[GammaPosterior, float]:
    """One update of the posterior; never lowers the ELBO.

    Parameters
    ----------
    counts : Counts
        X (N, M) with the library sizes.
    theta : Tensor, shape (N, k)
        On the device of the counts.
    posterior : GammaPosterior
        To start from; its rate is set to the best at once.
    prior : GammaPrior

    Returns
    -------
    posterior : GammaPosterior
        The new one.
    elbo : float
        Of the posterior that went in, with that rate.
    """
    weights = counts.weights(theta)
    posterior = GammaPosterior(posterior.shape, prior.rate + weights)
    factor = posterior.log_mean.exp()
    rate_pass = counts.rates(theta, factor, columns=True)
    elbo = _elbo(counts, rate_pass.log_sum, weights, posterior, prior)
    return GammaPosterior(prior.shape + factor * rate_pass.columns, posterior.rate), elbo


def solve(
    counts: Counts,
    theta: Tensor,
    posterior: GammaPosterior,
    prior: GammaPrior,
    *,
    steps: int,
    tol: float,
) -> GammaPosterior:
    """Updates until the ELBO gains less than ``tol`` of itself, at most ``steps`` of them.

    Begun with the posterior of the last epoch, a few steps keep it at the fixed point. Parameters
    as for `update`.
    """
    last = float("inf")
    for number in range(steps):
        posterior, elbo = update(counts, theta, posterior, prior)
        if number > 0 and abs(elbo - last) < tol * abs(elbo):
            break
        last = elbo
    return posterior


def adjoint(
    counts: Counts, theta: Tensor, posterior: GammaPosterior, slopes: Tensor, right: Tensor
) -> Tensor:
    """Solve (I - df/da)^T w = g for the fixed point of the shapes, column by column.

    Parameters
    ----------
    counts : Counts
        X (N, M) with the library sizes.
    theta : Tensor, shape (N, k)
        On the device of the counts.
    posterior : GammaPosterior
        At the fixed point.
    slopes : Tensor, shape (M, k)
        sum_i (x_ij / lambda_ij) s_i theta_ik.
    right : Tensor, shape (M, k)
        The gradient g by the shapes.

    Returns
    -------
    Tensor, shape (M, k)
        w, float64 on the host.
    """
    factor = posterior.log_mean.exp()
    root = torch.polygamma(1, posterior.shape).sqrt()
    expected = factor * slopes
    genes, rank = right.shape
    if 16 * genes * rank**2 <= _HESSIAN_BYTES:
        low, high = torch.tril_indices(rank, rank)
        system = torch.zeros((genes, rank, rank), dtype=torch.float64)
        side = root * factor
        system[:, low, high] = counts.hessian(theta, factor) * side[:, low] * side[:, high]
        system[:, high, low] = system[:, low, high]
        system.diagonal(dim1=1, dim2=2).add_(1 - root.square() * expected)
        return root * _solve_symmetric(system, right / root)

    def product(y: Tensor) -> Tensor:
        w = root * y
        bend, _ = counts.curvature(theta, factor, factor * w)
        return y - root * (expected * w - factor * bend)

    steps = min(_ADJOINT_STEPS, 2 * rank)
    return root * _conjugate_gradients(product, right / root, steps, _ADJOINT_TOL)


def _elbo(
    counts: Counts, log_sum: float, weights: Tensor, posterior: GammaPosterior, prior: GammaPrior
) -> float:
    background = counts.floor * counts.all_cells * counts.shape[1]
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


def _solve_symmetric(system: Tensor, right: Tensor) -> Tensor:
    """Solves S y = g for S (M, k, k), g (M, k).

    S is positive definite at a strict maximum of the ELBO. Where two programs are one it is not:
    directions without curvature get none of the gradient instead of an infinite one.
    """
    factor, failed = torch.linalg.cholesky_ex(system)
    y = torch.cholesky_solve(right[..., None], factor)[..., 0]
    bad = failed > 0
    if bad.any():
        values, vectors = torch.linalg.eigh(system[bad])
        inverse = torch.where(values > 1e-10, values, torch.inf).reciprocal()
        part = torch.einsum("mki,mk->mi", vectors, right[bad])
        y[bad] = torch.einsum("mki,mi->mk", vectors, inverse * part)
    return y


def _conjugate_gradients(
    product: Callable[[Tensor], Tensor], target: Tensor, steps: int, tol: float
) -> Tensor:
    """Solves every column's system at once, each until it is done: target (M, k)."""
    y = target.clone()
    residual = target - product(y)
    search = residual.clone()
    square = residual.square().sum(1)
    enough = (tol**2) * target.square().sum(1)
    active = square > enough
    for _ in range(steps):
        if not active.any():
            break
        image = product(search)
        bending = (search * image).sum(1)
        # No maximum along this direction (two programs that are one): leave the column there.
        active &= bending > 1e-12 * search.square().sum(1)
        step = torch.where(active, square / bending, 0.0)[:, None]
        y = y + step * search
        residual = residual - step * image
        fresh = residual.square().sum(1)
        search = residual + torch.where(active, fresh / square, 0.0)[:, None] * search
        square = fresh
        active &= square > enough
    return y
