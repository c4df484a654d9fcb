"""The network of least squares with learned programs: they are parameters like every Theta."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from neuralNMF.cells.block import Sums
from neuralNMF.cells.products import CellSums, Products
from neuralNMF.least_squares.network import Pass, behind, residual, two_sided, usage_sums
from neuralNMF.solvers.gram import gram as gram_of


class LearnedNMF(nn.Module):
    """X' ~ Theta_1 ... Theta_L beta_L by least squares, with all of them parameters.

    Parameters
    ----------
    thetas : sequence of Tensor
        Theta_1 (N, k_1) on any device; Theta_l (k_{l-1}, k_l), l = 2 ... L, float64 on the host.
    programs_t : sequence of Tensor, (M, k_l) each
        The programs that are parameters, beta_l transposed, float64 on the host: those of every
        layer with the ``nested`` loss, of the last alone with ``reconstruction``.

    Notes
    -----
    With programs of every layer the loss is sum_l ||X' - U_l beta_l||^2, U_l = Theta_1 ... Theta_l.
    With those of the last layer it is ||X' - U_L beta_L||^2, and the inner programs are
    beta_l = Theta_{l+1} ... Theta_L beta_L. `optimize.Auto` trains beta_l like Theta_1: with the
    Thetas held its curvature is U_l^T U_l, so that its step is that of HALS.
    """

    def __init__(self, thetas: Sequence[Tensor], programs_t: Sequence[Tensor]) -> None:
        super().__init__()
        self.thetas = nn.ParameterList([nn.Parameter(theta) for theta in thetas])
        self.programs_t = nn.ParameterList([nn.Parameter(program_t) for program_t in programs_t])

    @property
    def factors(self) -> list[nn.Parameter]:
        """Theta_1 ... Theta_L, then the programs that are parameters."""
        return [*self.thetas, *self.programs_t]

    def extra_repr(self) -> str:
        """The shapes, for `repr`."""
        shapes = [[tuple(part.shape) for part in parts] for parts in (self.thetas, self.programs_t)]
        return f"theta={shapes[0]}, programs_t={shapes[1]}"

    def forward(self, products: Products) -> Pass:
        """Evaluate at the parameters: one pass over X', two with the backward pass."""
        gram, cross = CellSums.apply(self.thetas[0], products)
        return self.evaluate(gram, cross, products.square_sum)

    def evaluate(self, gram: Tensor, cross: Tensor, square_sum: float) -> Pass:
        """See `NeuralNMF.evaluate`."""
        later = list(self.thetas[1:])
        if len(self.programs_t) == len(self.thetas):
            return self._nested(gram, cross, square_sum, later)
        chain: list[Tensor] = [self.programs_t[-1]]
        for theta in reversed(later):
            chain.append(chain[-1] @ theta.T)
        programs_t = chain[::-1]
        error, _ = residual(square_sum, gram, cross, programs_t[0])
        own = [None] * len(later) + [gram_of(programs_t[-1].detach())]
        return Pass(error, error, programs_t, gram, behind(later, own))

    def _nested(self, gram: Tensor, cross: Tensor, square_sum: float, later: list[Tensor]) -> Pass:
        errors, curvatures = [], []
        for layer, usage_gram, usage_cross in usage_sums(gram, cross, later):
            program_t = self.programs_t[layer]
            error, curvature = residual(square_sum, usage_gram, usage_cross, program_t)
            errors.append(error)
            curvatures.append(curvature)
        programs_t = list(self.programs_t)
        return Pass(
            torch.stack(errors).sum(), errors[-1], programs_t, gram, behind(later, curvatures)
        )

    def settle(self, sums: Sums | None = None) -> None:
        """Do nothing: the loss does not ask for a scale."""

    def memory(self) -> dict[str, Any]:
        """Nothing: nothing is solved."""
        return {}

    def recall(self, memory: dict[str, Any]) -> None:
        """See `training.loop.Network`."""

    @torch.no_grad()
    def curvatures(self, evaluated: Pass) -> list[tuple[Tensor | None, Tensor]]:
        """Second derivatives of the halved loss in each factor: see `NeuralNMF.curvatures`."""
        later = list(self.thetas[1:])
        gram = evaluated.gram.detach()
        grams = [part for _, part, _ in usage_sums(gram, gram.new_zeros((1, gram.shape[0])), later)]
        of_programs = grams[-len(self.programs_t) :]
        return [*two_sided(later, evaluated), *((None, part) for part in of_programs)]
