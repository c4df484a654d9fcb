"""Batched non-negative least squares with exact derivatives.

It finds S = argmin_{S >= 0} 1/2 tr(S'GS) - tr(S'B) with G (k, k) and B, S (k, M), and so every beta
of the least-squares network. All columns share G. The k x k work is done on the host in double
precision, whatever the device and precision of the data: it is small, and the normal equations
square the condition number.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from neuralNMF.kernels.nnls import solve_columns, solve_one_by_one, solve_supports, unit_diagonal
from neuralNMF.kernels.vectors import LANES, aligned_empty
from neuralNMF.threads import SERIAL, Threads

# A variable whose squared distance from the span of the others is below this share of its length is
# dependent on them: rounding of the two products in single precision leaves about this much.
DEPENDENT = {torch.float32: 1e-7, torch.float64: 1e-13}
_SLACK = 1e-12


@dataclass
class WarmStart:
    """The supports of a layer's last solve, where the next one starts.

    Parameters
    ----------
    support : ndarray of bool or None, shape (M, k)
        Where the solution was positive; None before the first solve.
    """

    support: np.ndarray | None = None


@dataclass
class _Factorised:
    """The solution, and what the backward pass needs of the way there."""

    solution: np.ndarray  # (M, k)
    factors: np.ndarray  # (ceil(M / LANES), k (k + 1) / 2, LANES), or none
    scale: np.ndarray  # (k,)
    threads: Threads


def _solve(
    gram: np.ndarray,
    cross: np.ndarray,
    tiny: float,
    start: WarmStart | None,
    threads: Threads,
    *,
    keeps: bool,
) -> _Factorised:
    columns, k = cross.shape
    support = None if start is None else start.support
    if support is not None and support.shape == cross.shape:
        support = support.copy()
    else:
        support = np.ones((columns, k), dtype=bool)
    solution = np.empty((columns, k))
    groups = -(-columns // LANES) if keeps else 0
    factors = aligned_empty((groups, k * (k + 1) // 2, LANES), np.float64)
    scale, unit = unit_diagonal(np.ascontiguousarray(gram))
    right = np.ascontiguousarray(cross)
    arrays = unit, right, scale, support, solution, factors
    stubborn = np.zeros(columns, dtype=bool)
    threads.run(
        lambda first, past: solve_columns(first, past, *arrays, stubborn, tiny, _SLACK),
        threads.split(columns, LANES),
    )
    if stubborn.any():
        solve_one_by_one(stubborn.nonzero()[0], *arrays, tiny, _SLACK)
    if start is not None:
        start.support = support
    return _Factorised(solution, factors, scale, threads)


class _Nnls(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        gram: Tensor,
        cross: Tensor,
        tiny: float,
        start: WarmStart | None,
        threads: Threads,
    ) -> Tensor:
        keeps = any(ctx.needs_input_grad)
        ctx.solved = _solve(gram.numpy(), cross.numpy(), tiny, start, threads, keeps=keeps)
        return torch.from_numpy(ctx.solved.solution)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        solved: _Factorised = ctx.solved
        right = np.ascontiguousarray(grad.numpy())
        adjoint = np.empty_like(right)
        arrays = solved.factors, right, solved.scale, adjoint
        solved.threads.run(
            lambda first, past: solve_supports(first, past, *arrays),
            solved.threads.split(len(solved.factors)),
        )
        # Only the symmetric part of dL/dG is defined; V S' and its transpose both lead there
        # through G = Theta' Theta.
        grad_cross = torch.from_numpy(adjoint)
        grad_gram = -(grad_cross.T @ torch.from_numpy(solved.solution))
        return grad_gram, grad_cross, None, None, None


def nnls(
    gram: Tensor,
    cross: Tensor,
    *,
    dependent: float = DEPENDENT[torch.float64],
    start: WarmStart | None = None,
    threads: Threads = SERIAL,
) -> Tensor:
    """Minimise 1/2 tr(S G S') - tr(S B') over S >= 0, all rows of S at once.

    Differentiable once, by ``gram`` and ``cross``.

    Parameters
    ----------
    gram : Tensor, shape (k, k)
        G, symmetric positive semi-definite, float64 on the host.
    cross : Tensor, shape (M, k)
        B, here with one row for each problem; float64 on the host.
    dependent : float
        A factor whose squared distance from the span of the others in use is below this share of
        its squared length counts as linearly dependent on them.
    start : WarmStart, optional
        Where the search starts; keeps the supports from one call to the next.
    threads : Threads

    Returns
    -------
    Tensor, shape (M, k)
        S, that is beta transposed; float64 on the host.

    Notes
    -----
    By block principal pivoting (Kim & Park 2011, SIAM J. Sci. Comput. 33(6)). A dead factor, with
    a zero on the diagonal of G, gets a zero column and a zero gradient, and so does a dependent
    one.

    The derivative is that of the normal equations on each row's support P, G_PP s_P = b_P: with
    the incoming gradient g it is dB = V and dG = -V'S with V_P = G_PP^-1 g_P. Where an entry is
    just leaving or entering the support, it is the one-sided derivative of the support that was
    reached.
    """
    return _Nnls.apply(gram, cross, dependent, start, threads)
