"""E[beta] of Poisson matrix factorization as a differentiable function of Theta and of the input.

The gradient goes through the fixed point (implicit function), not through unrolled updates. With
the posterior's shapes a = f(a, Theta) (``posterior.update``), column j by column j,

df/da = (diag(c) - diag(v) H diag(v)) diag(psi'(a)),    H_j = sum_i x_ij / lambda_ij^2 u_i u_i^T,

where u_i = s_i theta_i, c_jk = v_jk sum_i (x_ij / lambda_ij) u_ik and psi' is the trigamma
function. The bracket L is symmetric and positive semidefinite, so the adjoint equation (I -
df/da)^T w = g is, with w = psi'^(1/2) y, the symmetric one

S y = psi'^(-1/2) g,    S = I - psi'^(1/2) L psi'^(1/2).

The k x k matrices H of all columns come from one pass over the non-zeros, and S is solved
directly; where they would not fit (``PmfState.hessian_bytes``) conjugate gradients take their
place, one pass a step. The answer is the gradient of the converged E[beta]: exact where the
posterior has converged, otherwise off by the order of the distance from the fixed point.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from neuralNMF.cells.counts import FLOOR, Counts, dense_counts
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

    steps, tol: of the updates (``posterior.solve``). hessian_bytes: what the matrices of the
    adjoint may take, M k^2 x 8 bytes twice and as much again for every two threads; above it,
    conjugate gradients run for ``adjoint_steps`` or to ``adjoint_tol`` of the right-hand side.
    """

    prior: GammaPrior
    steps: int = 5
    tol: float = 1e-8
    hessian_bytes: int = 1 << 29
    adjoint_steps: int = 40
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
        adjoint = _adjoint(counts, theta, shape, factor, gain, grad / rate, state)
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


def pmf_programs_t(theta: Tensor, source: Counts | Tensor, state: PmfState) -> Tensor:
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
    """w (M, k) of (I - df/da)^T w = g, column by column."""
    root = torch.polygamma(1, shape).sqrt()
    expected = factor * gain
    genes, rank = shape.shape
    if 16 * genes * rank**2 <= state.hessian_bytes:
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

    steps = min(state.adjoint_steps, 2 * rank)
    return root * _conjugate_gradients(product, right / root, steps, state.adjoint_tol)


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
