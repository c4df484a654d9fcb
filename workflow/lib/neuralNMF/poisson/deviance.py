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

from collections.abc import Sequence
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
    return nested_deviance([theta], [programs_t], counts)


def nested_deviance(
    usages: Sequence[Tensor], programs_t: Sequence[Tensor], counts: Counts
) -> Tensor:
    """Sum over layers of the deviance under X ~ Poisson(diag(s) U_l beta_l), in one pass over X.

    Parameters
    ----------
    usages : sequence of Tensor, (N, k_l) each
        U_l on the device of the counts.
    programs_t : sequence of Tensor, (M, k_l) each
        beta_l transposed, float64 on the host.
    counts : Counts
        X (N, M) with the library sizes.

    Returns
    -------
    Tensor
        float64 scalar on the host, differentiable by all factors.
    """
    return _PoissonDeviance.apply(counts, *usages, *programs_t)


def deviance_of(
    rate_pass: RatePass[Any, Any], theta: Tensor, programs_t: Tensor, counts: Counts
) -> float:
    """Deviance from a pass that was made at these factors: `poisson_deviance` without gradients."""
    return counts.deviance(rate_pass.log_sum, counts.rate_total(theta, programs_t))


class _PoissonDeviance(torch.autograd.Function):
    """The forward pass keeps the gradients that are needed; the backward pass scales them."""

    @staticmethod
    def forward(ctx: Any, counts: Counts, *factors: Tensor) -> Tensor:
        """Value, with the gradients put aside; the usages come first, then the programs."""
        layers = len(factors) // 2
        usages, programs_t = factors[:layers], factors[layers:]
        of_usages = ctx.needs_input_grad[1 : 1 + layers]
        of_programs = ctx.needs_input_grad[1 + layers :]
        passes = counts.rates_of_layers(
            usages, programs_t, rows=any(of_usages), columns=any(of_programs)
        )
        value, by_usages, by_programs = 0.0, [], []
        for usage, program_t, rate_pass in zip(usages, programs_t, passes, strict=True):
            value += deviance_of(rate_pass, usage, program_t, counts)
            by_usages.append(_by_usage(rate_pass.rows, program_t, counts))
            by_programs.append(_by_programs(rate_pass.columns, usage, counts))
        ctx.gradients = [
            part if wanted else None
            for part, wanted in zip(
                [*by_usages, *by_programs], [*of_usages, *of_programs], strict=True
            )
        ]
        return torch.tensor(value, dtype=torch.float64)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients of the forward pass, times the incoming one."""
        scale = float(grad)
        return None, *(None if part is None else part * scale for part in ctx.gradients)


def _by_usage(rows: Tensor | None, programs_t: Tensor, counts: Counts) -> Tensor | None:
    """2 (s mass^T - rows), in the place of ``rows``; None without them."""
    if rows is None:
        return None
    scale = counts.scale.to(device=rows.device, dtype=rows.dtype)
    return rows.mul_(-2).addr_(scale, programs_t.sum(0).to(rows), alpha=2)


def _by_programs(columns: Tensor | None, usage: Tensor, counts: Counts) -> Tensor | None:
    """2 (1 weights^T - columns), in the place of ``columns``; None without them."""
    if columns is None:
        return None
    return columns.mul_(-2).add_(counts.weights(usage), alpha=2)
