"""Poisson deviance of the counts under X ~ Poisson(diag(s) Theta_1 W^T), with exact gradients.

D = 2 sum [x log(x / lambda) - (x - lambda)]. The first part runs over the non-zeros only, the sum
of all rates is a product of column sums: sum lambda = (sum_i s_i theta_i) . (sum_j w_j). One pass
over the non-zeros gives the value and both gradients:

dD/dTheta_1 = 2 (s (sum_j w_j)^T - diag(s) R W)
dD/dW = 2 (1 (sum_i s_i theta_i)^T - R^T diag(s) Theta_1)

with R = X / lambda on the non-zeros (docs/poisson.md).
"""

from __future__ import annotations

import torch
from torch import Tensor

from neuralNMF.cells.counts import Counts


class PoissonDeviance(torch.autograd.Function):
    """(Theta_1, W) -> D, where W = (Theta_2 ... Theta_L beta_L)^T, through all cells.

    Shape: theta (N, k_1) on the device of ``counts``; programs_t (M, k_1) float64 on the host;
    returns a float64 scalar on the host. One pass over X forward, none backward: the forward pass
    keeps the gradients that are needed.
    """

    @staticmethod
    def forward(ctx, theta: Tensor, programs_t: Tensor, counts: Counts) -> Tensor:
        """Value, with the gradients put aside."""
        rows, columns = ctx.needs_input_grad[:2]
        found = counts.rates(theta, programs_t, rows=rows, columns=columns)
        weights, mass = counts.weights(theta), programs_t.sum(0)
        by_theta = by_programs_t = None
        if rows:
            by_theta = found.rows.mul_(-2)
            scale = counts.scale.to(device=theta.device, dtype=theta.dtype)
            by_theta.addr_(scale, mass.to(by_theta), alpha=2)
        if columns:
            by_programs_t = found.columns.mul_(-2).add_(weights, alpha=2)
        ctx.gradients = by_theta, by_programs_t
        value = counts.deviance(found.log_sum, counts.rate_total(theta, programs_t))
        return torch.tensor(value, dtype=torch.float64)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad: Tensor) -> tuple:
        """The gradients of the forward pass, times the incoming one."""
        scale = float(grad)
        return *(None if part is None else part * scale for part in ctx.gradients), None


def poisson_deviance(theta: Tensor, programs_t: Tensor, counts: Counts) -> Tensor:
    """Deviance of ``counts``; differentiable by theta (N, k_1) and programs_t (M, k_1)."""
    return PoissonDeviance.apply(theta, programs_t, counts)


def gradient_parts(
    theta: Tensor, programs_t: Tensor, counts: Counts
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Positive and negative parts of half the gradient, for multiplicative updates.

    Returns (gain_theta (N, k), cost_theta (N, k), gain_programs_t (M, k), cost_programs_t (k,)):
    theta * gain_theta / cost_theta is Lee & Seung's (2001) step for theta with the programs_t held,
    programs_t * gain_programs_t / cost_programs_t that for the programs_t with theta held.
    """
    found = counts.rates(theta, programs_t, rows=True, columns=True)
    scale = counts.scale.to(device=theta.device, dtype=theta.dtype)
    cost = torch.outer(scale, programs_t.sum(0).to(scale))
    return found.rows, cost, found.columns, counts.weights(theta)
