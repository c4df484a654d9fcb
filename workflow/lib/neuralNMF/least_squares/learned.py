"""The network of least squares with learned programs: beta_L is a parameter like every Theta."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from neuralNMF.cells.block import Sums
from neuralNMF.cells.products import CellSums, Products
from neuralNMF.least_squares.network import Pass, residual
from neuralNMF.solvers.gram import gram


class LearnedNMF(nn.Module):
    """X' ~ Theta_1 ... Theta_L beta_L by least squares, with all of them parameters.

    Parameters
    ----------
    thetas : sequence of Tensor
        Theta_1 (N, k_1) on any device; Theta_l (k_{l-1}, k_l), l = 2 ... L, float64 on the host.
    programs_t : Tensor, shape (M, k_L)
        beta_L transposed, float64 on the host.

    Notes
    -----
    The inner programs are beta_l = Theta_{l+1} ... Theta_L beta_L. `optimize.Auto` trains beta_L
    like Theta_1: with the Thetas held its curvature is U_L^T U_L, U_L = Theta_1 ... Theta_L, so
    that its step is that of HALS.
    """

    def __init__(self, thetas: Sequence[Tensor], programs_t: Tensor) -> None:
        super().__init__()
        self.thetas = nn.ParameterList([nn.Parameter(theta) for theta in thetas])
        self.programs_t = nn.Parameter(programs_t)

    @property
    def factors(self) -> list[nn.Parameter]:
        """Theta_1 ... Theta_L, beta_L transposed."""
        return [*self.thetas, self.programs_t]

    def extra_repr(self) -> str:
        """The shapes, for `repr`."""
        shapes = [tuple(theta.shape) for theta in self.thetas]
        return f"theta={shapes}, programs_t={tuple(self.programs_t.shape)}"

    def forward(self, products: Products) -> Pass:
        """Evaluate at the parameters: one pass over X', two with the backward pass."""
        gram, cross = CellSums.apply(self.thetas[0], products)
        return self.evaluate(gram, cross, products.square_sum)

    def evaluate(self, gram: Tensor, cross: Tensor, square_sum: float) -> Pass:
        """See `NeuralNMF.evaluate`."""
        chain: list[Tensor] = [self.programs_t]
        for theta in reversed(list(self.thetas[1:])):
            chain.append(chain[-1] @ theta.T)
        programs_t = chain[::-1]
        error, curvature = residual(square_sum, gram, cross, programs_t[0])
        return Pass(error, error, programs_t, programs_t[0], gram, cross, curvature)

    def settle(self, sums: Sums | None = None) -> None:
        """Do nothing: the loss does not ask for a scale."""

    @torch.no_grad()
    def curvatures(self, evaluated: Pass) -> list[tuple[Tensor | None, Tensor]]:
        """Second derivatives of the halved loss in each factor: see `NeuralNMF.curvatures`."""
        programs_t = [program_t.detach() for program_t in evaluated.programs_t]
        result: list[tuple[Tensor | None, Tensor]] = [(None, evaluated.curvature)]
        before = evaluated.gram.detach()
        for theta, right in zip(self.thetas[1:], programs_t[1:], strict=True):
            result.append((before, gram(right)))
            before = theta.T @ before @ theta
        return [*result, (None, before)]
