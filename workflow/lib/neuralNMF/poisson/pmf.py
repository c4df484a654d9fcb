"""E[beta] of Poisson matrix factorization as a differentiable function of Theta and of the input.

The gradient goes through the fixed point (implicit function), not through unrolled updates. With
the posterior's shapes a = f(a, Theta) (``posterior.update``), column j by column j,

df/da = (diag(c) - diag(v) H diag(v)) diag(psi'(a)),    H_j = sum_i x_ij / lambda_ij^2 u_i u_i^T,

where u_i = s_i theta_i, c_jk = v_jk sum_i (x_ij / lambda_ij) u_ik and psi' is the trigamma
function. The bracket L is symmetric and positive semidefinite, so the adjoint equation (I -
df/da)^T w = g is, with w = psi'^(1/2) y, the symmetric one

(I - psi'^(1/2) L psi'^(1/2)) y = psi'^(-1/2) g,

solved by conjugate gradients for all columns at once: one pass over the non-zeros a step, at most k
steps. The answer is the gradient of the converged E[beta]; it is exact where the posterior has
converged, and its error is of the order of the distance from the fixed point otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from neuralNMF.poisson.counts import FLOOR, Counts
from neuralNMF.poisson.dense import dense_counts
from neuralNMF.poisson.posterior import (
    GammaPosterior,
    GammaPrior,
    Solution,
    first_posterior,
    solve,
)


@dataclass
class PmfState:
    """Posterior of one layer, carried from epoch to epoch, and how it is solved.

    steps, tol: of the updates (``posterior.solve``); adjoint_steps, adjoint_tol: of the conjugate
    gradients, relative to the right-hand side.
    """

    prior: GammaPrior
    steps: int = 5
    tol: float = 1e-8
    adjoint_steps: int = 20
    adjoint_tol: float = 1e-4
    posterior: GammaPosterior | None = None
    solution: Solution | None = None


class PmfMean(torch.autograd.Function):
    """(Theta, X) -> E[beta] transposed, (M, k) float64 on the host.

    Shape: theta (n, k); entries (n, M) dense and differentiable, or None where X is ``counts``.
    """

    @staticmethod
    def forward(
        ctx, theta: Tensor, entries: Tensor | None, counts: Counts, state: PmfState
    ) -> Tensor:
        """Updates the posterior in ``state`` and returns its mean."""
        if state.posterior is None:
            state.posterior = first_posterior(counts, theta, state.prior)
        state.solution = solve(
            counts, theta, state.posterior, state.prior, steps=state.steps, tol=state.tol
        )
        state.posterior = state.solution.posterior
        ctx.save_for_backward(theta, entries)
        ctx.counts, ctx.state, ctx.posterior = counts, state, state.posterior
        return state.posterior.mean

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad: Tensor) -> tuple:
        """Adjoint of the fixed point, then one pass for Theta and one product for X."""
        theta, entries = ctx.saved_tensors
        counts, state, posterior = ctx.counts, ctx.state, ctx.posterior
        shape, rate = posterior.shape, posterior.rate
        factor = posterior.log_mean.exp()
        gain = counts.rates(theta, factor, columns=True).columns
        adjoint = _adjoint(counts, theta, posterior.shape, factor, gain, grad / rate, state)
        direction = factor * adjoint
        bend, by_theta = counts.curvature(theta, factor, direction, rows=True)
        by_factor = adjoint * gain - bend
        # The rate enters E[beta] = a / b and v = exp(psi(a)) / b.
        by_rate = -(grad * shape / rate + by_factor * factor).sum(0) / rate
        scale = counts.scale.to(by_theta)
        by_theta.addr_(scale, by_rate.to(by_theta))
        by_entries = None
        if ctx.needs_input_grad[1]:
            scaled = theta.detach() * scale[:, None]
            rates = scaled @ factor.to(theta).T + counts.floor
            by_entries = (scaled @ direction.to(theta).T / rates).to(entries)
        return by_theta, by_entries, None, None


def pmf_loadings(theta: Tensor, source: Counts | Tensor, state: PmfState) -> Tensor:
    """E[beta] transposed of X ~ Poisson(diag(s) theta beta), differentiable.

    Shape: theta (n, k); ``source``: the counts (n, M), or the expectations of the layer below as a
    dense tensor (n, M), with which the result is differentiable too; returns (M, k) float64.
    ``state`` is updated.
    """
    if isinstance(source, Counts):
        return PmfMean.apply(theta, None, source, state)
    return PmfMean.apply(theta, source, dense_counts(source, floor=FLOOR), state)


def _adjoint(
    counts: Counts,
    theta: Tensor,
    shape: Tensor,
    factor: Tensor,
    gain: Tensor,
    right: Tensor,
    state: PmfState,
) -> Tensor:
    """W (M, k) of (I - df/da)^T w = g, by conjugate gradients in each column at once."""
    root = torch.polygamma(1, shape).sqrt()
    expected = factor * gain

    def product(y: Tensor) -> Tensor:
        w = root * y
        bend, _ = counts.curvature(theta, factor, factor * w)
        return y - root * (expected * w - factor * bend)

    target = right / root
    y = target.clone()
    residual = target - product(y)
    search = residual.clone()
    square = residual.square().sum(1)
    enough = (state.adjoint_tol**2) * target.square().sum(1)
    active = square > enough
    for _ in range(min(state.adjoint_steps, 2 * theta.shape[1])):
        if not active.any():
            break
        image = product(search)
        bending = (search * image).sum(1)
        # Not a maximum along this direction (two programs that are one): leave the column there.
        active &= bending > 1e-12 * search.square().sum(1)
        step = torch.where(active, square / bending, 0.0)[:, None]
        y = y + step * search
        residual = residual - step * image
        fresh = residual.square().sum(1)
        search = residual + torch.where(active, fresh / square, 0.0)[:, None] * search
        square = fresh
        active &= square > enough
    return root * y
