"""The network of least squares: Theta_1 ... Theta_L as parameters, every beta solved from them.

Inside the library the programs are held as programs_t, beta transposed (M, k), so that a gene's
entries lie together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from neuralNMF.cells.block import Sums
from neuralNMF.cells.products import CellSums, Products
from neuralNMF.kernels.gram import gram_and_products
from neuralNMF.solvers.gram import gram as gram_of
from neuralNMF.solvers.nnls import DEPENDENT, WarmStart, nnls
from neuralNMF.threads import SERIAL, Threads


@dataclass
class Pass:
    """The result of one forward pass.

    Parameters
    ----------
    loss : Tensor
        Scalar, differentiable, in units of the sum of squares of X'.
    error : Tensor
        Scalar: ||X' - Theta_1 ... Theta_L beta_L||^2.
    programs_t : list of Tensor
        beta_l transposed (M, k_l), l = 1 ... L.
    reconstruction : Tensor, shape (M, k_1)
        Theta_2 ... Theta_L beta_L, transposed.
    gram : Tensor, shape (k_1, k_1)
        Theta_1^T Theta_1.
    cross : Tensor, shape (M, k_1)
        X'^T Theta_1.
    curvature : Tensor, shape (k_1, k_1)
        Second derivative of the halved loss by a row of Theta_1, with beta held.
    """

    loss: Tensor
    error: Tensor
    programs_t: list[Tensor]
    reconstruction: Tensor
    gram: Tensor
    cross: Tensor
    curvature: Tensor


class NeuralNMF(nn.Module):
    """X' ~ Theta_1 Theta_2 ... Theta_L beta_L with every beta solved from the Theta.

    Parameters
    ----------
    thetas : sequence of Tensor
        Theta_1 (N, k_1) on any device; Theta_l (k_{l-1}, k_l), l = 2 ... L, float64 on the host.
    energy : bool
        Whether the loss is the sum of all layers' errors instead of the reconstruction's.
    threads : Threads

    Notes
    -----
    beta_0 = X', beta_l = argmin_{beta >= 0} ||beta_{l-1} - Theta_l beta||^2, with beta_l (k_l, M).

    The energy is sum_l ||beta_{l-1} - Theta_l beta_l||^2 (Will et al., arXiv 2303.00058). It is
    taken with the columns of every Theta at unit length: otherwise the errors of the later layers
    could be made as small as one likes by moving the scale from beta_1 into Theta_1.
    """

    def __init__(
        self, thetas: Sequence[Tensor], *, energy: bool = False, threads: Threads = SERIAL
    ) -> None:
        super().__init__()
        self.thetas = nn.ParameterList([nn.Parameter(theta) for theta in thetas])
        self._factors = list(self.thetas)  # read many times an epoch, and slow to take from there
        self._later = self._factors[1:]
        self.energy = energy
        self._dependent = DEPENDENT[thetas[0].dtype]
        self._threads = threads
        self._starts = [WarmStart() for _ in thetas]

    @property
    def factors(self) -> list[nn.Parameter]:
        """All parameters that training may change."""
        return self._factors

    def extra_repr(self) -> str:
        """The layers and shapes, for `repr`."""
        shapes = [tuple(theta.shape) for theta in self.thetas]
        return f"layers={[shape[1] for shape in shapes]}, theta={shapes}, energy={self.energy}"

    def forward(self, products: Products) -> Pass:
        """Evaluate at the parameters: one pass over X', two with the backward pass."""
        gram, cross = CellSums.apply(self.thetas[0], products)
        return self.evaluate(gram, cross, products.square_sum)

    def evaluate(self, gram: Tensor, cross: Tensor, square_sum: float) -> Pass:
        """Evaluate from the sums over cells, differentiable by them and by Theta_2 ... Theta_L.

        Parameters
        ----------
        gram : Tensor, shape (k_1, k_1)
            Theta_1^T Theta_1, float64 on the host.
        cross : Tensor, shape (M, k_1)
            X'^T Theta_1, float64 on the host.
        square_sum : float
            Sum of the squares of X'.

        Returns
        -------
        Pass
        """
        if self.energy:
            return self._energy(gram, cross, square_sum)
        if self._later:
            programs_t = [self._solve(0, gram, cross)]
        else:
            # beta_1 minimises this very loss: nothing comes back through it (envelope theorem).
            programs_t = [self._solve(0, gram.detach(), cross.detach())]
        for layer, theta in enumerate(self._later, start=1):
            programs_t.append(self._solve(layer, theta.T @ theta, programs_t[-1] @ theta))
        reconstruction = programs_t[-1]
        for theta in reversed(self._later):
            reconstruction = reconstruction @ theta.T
        error, curvature = residual(square_sum, gram, cross, reconstruction)
        return Pass(error, error, programs_t, reconstruction, gram, cross, curvature)

    def _energy(self, gram: Tensor, cross: Tensor, square_sum: float) -> Pass:
        scale = _inverse_lengths(gram)
        gram, cross = gram * scale[:, None] * scale, cross * scale
        programs_t = [self._solve(0, gram, cross)]
        loss, curvature = residual(square_sum, gram, cross, programs_t[0])
        units = []
        for layer, theta in enumerate(self._later, start=1):
            units.append(theta * _inverse_lengths(theta.T @ theta))
            before = programs_t[-1]
            programs_t.append(self._solve(layer, units[-1].T @ units[-1], before @ units[-1]))
            loss = loss + (before - programs_t[-1] @ units[-1].T).square().sum()
        reconstruction = programs_t[-1]
        for theta in reversed(units):
            reconstruction = reconstruction @ theta.T
        error, _ = residual(square_sum, gram, cross, reconstruction)
        return Pass(loss, error, programs_t, reconstruction, gram, cross, curvature)

    def settle(self, sums: Sums | None = None) -> None:
        """Bring the columns of every Theta to unit length after a step, where the loss asks for it.

        Parameters
        ----------
        sums : Sums, optional
            Of Theta_1, where they are known: scaled with it.
        """
        if self.energy:
            self._to_unit_length(sums)

    @torch.no_grad()
    def _to_unit_length(self, sums: Sums | None) -> None:
        first = self.thetas[0]
        lengths = _inverse_lengths(gram_of(first) if sums is None else sums.gram)
        first.mul_(lengths.to(device=first.device, dtype=first.dtype))
        if sums is not None:
            sums.gram *= lengths[:, None] * lengths
            sums.cross *= lengths
        for theta in self._later:
            theta.mul_(_inverse_lengths(theta.T @ theta))

    @torch.no_grad()
    def curvatures(self, evaluated: Pass) -> list[tuple[Tensor | None, Tensor]]:
        """Second derivatives of the halved loss by each Theta, with beta held.

        Returns
        -------
        list of (Tensor or None, Tensor)
            Of each Theta the matrices (left, right) of the map d -> left d right; None stands for
            the identity.

        Notes
        -----
        Theta_1 has (None, R R^T) with R = Theta_2 ... beta_L (k_1, M). Theta_l has (U^T U, V V^T)
        with U = Theta_1 ... Theta_{l-1} (N, k_{l-1}) and V = Theta_{l+1} ... beta_L (k_l, M). With
        ``energy`` each layer is fitted to the one before it: (identity, beta_l beta_l^T).
        """
        programs_t = [program_t.detach() for program_t in evaluated.programs_t]
        result: list[tuple[Tensor | None, Tensor]] = [(None, evaluated.curvature)]
        if self.energy:
            for theta, program_t in zip(self._later, programs_t[1:], strict=True):
                identity = torch.eye(theta.shape[0], dtype=torch.float64)
                result.append((identity, gram_of(program_t)))
            return result
        if not self._later:
            return result
        behind = [programs_t[-1]]
        for theta in reversed(self._later[1:]):
            behind.append(behind[-1] @ theta.T)
        before = evaluated.gram.detach()
        for theta, right in zip(self._later, reversed(behind), strict=True):
            result.append((before, gram_of(right)))
            before = theta.T @ before @ theta
        return result

    def _solve(self, layer: int, gram: Tensor, cross: Tensor) -> Tensor:
        return nnls(
            gram,
            cross,
            dependent=self._dependent,
            start=self._starts[layer],
            threads=self._threads,
        )


class _Residual(torch.autograd.Function):
    """`residual`, with each of its products formed once, forward and backward."""

    @staticmethod
    def forward(
        ctx: Any, square_sum: float, gram: Tensor, cross: Tensor, reconstruction: Tensor
    ) -> tuple[Tensor, Tensor]:
        arrays = [tensor.contiguous().numpy() for tensor in (reconstruction, cross, gram)]
        total = np.zeros(gram.shape)
        fit, square = gram_and_products(*arrays, total)
        curvature = torch.from_numpy(total)
        ctx.save_for_backward(gram, cross, reconstruction, curvature)
        ctx.mark_non_differentiable(curvature)
        return torch.from_numpy(np.array(square_sum - 2.0 * fit + square)), curvature

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        gram, cross, reconstruction, curvature = ctx.saved_tensors
        _, by_gram, by_cross, by_reconstruction = ctx.needs_input_grad
        share = grad.item()
        return (
            None,
            curvature * share if by_gram else None,
            reconstruction * (-2.0 * share) if by_cross else None,
            share * (reconstruction @ (gram + gram.T) - 2.0 * cross) if by_reconstruction else None,
        )


def residual(
    square_sum: float, gram: Tensor, cross: Tensor, reconstruction: Tensor
) -> tuple[Tensor, Tensor]:
    """The squared error of X' ~ Theta_1 R, from the sums over cells; differentiable once.

    Parameters
    ----------
    square_sum : float
        ||X'||^2.
    gram : Tensor, shape (k_1, k_1)
        Theta_1^T Theta_1, float64 on the host, as are the next two.
    cross : Tensor, shape (M, k_1)
        X'^T Theta_1.
    reconstruction : Tensor, shape (M, k_1)
        R transposed.

    Returns
    -------
    error : Tensor
        ||X' - Theta_1 R||^2, a scalar.
    curvature : Tensor, shape (k_1, k_1)
        R R^T, of a row of Theta_1; carries no gradient.

    Notes
    -----
    ||X' - Theta_1 R||^2 = ||X'||^2 - 2 <R^T, X'^T Theta_1> + <R R^T, Theta_1^T Theta_1>.
    """
    return _Residual.apply(square_sum, gram, cross, reconstruction)


def _inverse_lengths(gram: Tensor) -> Tensor:
    """1 / length (k,) of every column, from their Gram matrix (k, k); 0 for a dead factor."""
    squares = gram.diagonal()
    alive = squares > 0
    # The inner `where` keeps the gradient of the root finite where it is not used.
    return torch.where(alive, torch.where(alive, squares, 1.0).rsqrt(), 0.0)
