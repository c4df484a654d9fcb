"""The usage of every layer, U_l = Theta_1 ... Theta_l, differentiable, over any number of cells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from neuralNMF.solvers.gram import cross_gram, times_small
from neuralNMF.team import ALONE, Team
from neuralNMF.threads import SERIAL, Threads


def layer_usages(
    thetas: Sequence[Tensor], threads: Threads = SERIAL, team: Team = ALONE
) -> list[Tensor]:
    """U_l of every layer.

    Parameters
    ----------
    thetas : sequence of Tensor
        Theta_1 (N, k_1) on any device; Theta_l (k_{l-1}, k_l), l = 2 ... L, float64 on the host.
    threads : Threads
    team : Team
        The processes that hold the cells, each the rows of Theta_1 of its own.

    Returns
    -------
    list of Tensor, (N, k_l) each
        As Theta_1; the first is Theta_1 itself.
    """
    usages = [thetas[0]]
    chain = None
    for theta in thetas[1:]:
        chain = theta if chain is None else chain @ theta
        usages.append(_Usage.apply(thetas[0], chain, threads, team))
    return usages


class _Usage(torch.autograd.Function):
    """(Theta_1, C) -> Theta_1 C, with the sums over all cells in double precision."""

    @staticmethod
    def forward(ctx: Any, theta: Tensor, chain: Tensor, threads: Threads, team: Team) -> Tensor:
        """Theta_1 C, (N, k_l)."""
        ctx.save_for_backward(theta, chain)
        ctx.threads, ctx.team = threads, team
        return times_small(theta.detach(), chain.detach(), threads)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        """grad C^T and Theta_1^T grad."""
        theta, chain = ctx.saved_tensors
        of_theta, of_chain = ctx.needs_input_grad[:2]
        by_theta = times_small(grad, chain.T, ctx.threads) if of_theta else None
        by_chain = None
        if of_chain:
            by_chain = cross_gram(theta, grad, ctx.threads)
            ctx.team.add(by_chain.numpy())
        return by_theta, by_chain, None, None
