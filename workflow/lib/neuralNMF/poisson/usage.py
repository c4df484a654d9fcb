"""The usage of every layer, U_l = Theta_1 ... Theta_l, differentiable, over any number of cells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from neuralNMF.solvers.gram import cross_gram, times_small
from neuralNMF.threads import SERIAL, Threads


def layer_usages(thetas: Sequence[Tensor], threads: Threads = SERIAL) -> list[Tensor]:
    """U_l of every layer.

    Parameters
    ----------
    thetas : sequence of Tensor
        Theta_1 (N, k_1) on any device; Theta_l (k_{l-1}, k_l), l = 2 ... L, float64 on the host.
    threads : Threads

    Returns
    -------
    list of Tensor, (N, k_l) each
        As Theta_1; the first is Theta_1 itself.
    """
    usages = [thetas[0]]
    chain = None
    for theta in thetas[1:]:
        chain = theta if chain is None else chain @ theta
        usages.append(_Usage.apply(thetas[0], chain, threads))
    return usages


class _Usage(torch.autograd.Function):
    """(Theta_1, C) -> Theta_1 C, with the sums over cells in double precision."""

    @staticmethod
    def forward(ctx: Any, theta: Tensor, chain: Tensor, threads: Threads) -> Tensor:
        """Theta_1 C, (N, k_l)."""
        ctx.save_for_backward(theta, chain)
        ctx.threads = threads
        return times_small(theta.detach(), chain.detach(), threads)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        """grad C^T and Theta_1^T grad."""
        theta, chain = ctx.saved_tensors
        by_theta, by_chain = ctx.needs_input_grad[:2]
        return (
            times_small(grad, chain.T, ctx.threads) if by_theta else None,
            cross_gram(theta, grad, ctx.threads) if by_chain else None,
            None,
        )
