"""Poisson deviance of the counts under X ~ Poisson(diag(s) Theta_1 W^T), with exact gradients.

D = 2 sum [x log(x / lambda) - (x - lambda)], with counts X (N, M), library sizes s (N,), Theta_1
(N, k_1), W (M, k_1) and rates lambda = diag(s) Theta_1 W^T. The first part runs over the non-zeros
only; the sum of all rates is a product of column sums, sum lambda = (sum_i s_i theta_i) . (sum_j
w_j). One pass over the non-zeros gives the value and both gradients:

dD/dTheta_1 = 2 (s (sum_j w_j)^T - diag(s) R W)
dD/dW = 2 (1 (sum_i s_i theta_i)^T - R^T diag(s) Theta_1)

with R = X / lambda on the non-zeros (docs/poisson.md).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from neuralNMF.cells.counts import Counts, RatePass


def poisson_deviance(theta: Tensor, programs_t: Tensor, counts: Counts) -> Tensor:
    """Deviance of the counts, differentiable by both factors; one pass over X, none backward.

    Parameters
    ----------
    theta : Tensor, shape (N, k_1)
        Usage, on the device of the counts.
    programs_t : Tensor, shape (M, k_1)
        W, the programs that usage stands for: (Theta_2 ... Theta_L beta_L)^T; float64 on the host.
    counts : Counts
        X (N, M) with the library sizes.

    Returns
    -------
    Tensor
        float64 scalar on the host.
    """
    return _PoissonDeviance.apply(theta, programs_t, counts)


def deviance_of(
    rate_pass: RatePass[Any, Any], theta: Tensor, programs_t: Tensor, counts: Counts
) -> float:
    """Deviance from a pass that was made at these factors: `poisson_deviance` without gradients."""
    return counts.deviance(rate_pass.log_sum, counts.rate_total(theta, programs_t))


class _PoissonDeviance(torch.autograd.Function):
    """The forward pass keeps the gradients that are needed; the backward pass scales them."""

    @staticmethod
    def forward(ctx: Any, theta: Tensor, programs_t: Tensor, counts: Counts) -> Tensor:
        """Value, with the gradients put aside."""
        by_cells, by_genes = ctx.needs_input_grad[:2]
        rate_pass = counts.rates(theta, programs_t, rows=by_cells, columns=by_genes)
        weights, mass = counts.weights(theta), programs_t.sum(0)
        by_theta = by_programs_t = None
        if rate_pass.rows is not None:
            by_theta = rate_pass.rows.mul_(-2)
            scale = counts.scale.to(device=theta.device, dtype=theta.dtype)
            by_theta.addr_(scale, mass.to(by_theta), alpha=2)
        if rate_pass.columns is not None:
            by_programs_t = rate_pass.columns.mul_(-2).add_(weights, alpha=2)
        ctx.gradients = by_theta, by_programs_t
        value = deviance_of(rate_pass, theta, programs_t, counts)
        return torch.tensor(value, dtype=torch.float64)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients of the forward pass, times the incoming one."""
        scale = float(grad)
        return *(None if part is None else part * scale for part in ctx.gradients), None
