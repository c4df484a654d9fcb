"""The network of a Poisson model: Theta_1 ... Theta_L and beta_L, and how one step moves them.

It minimises the deviance of the counts under diag(s) Theta_1 ... Theta_L beta_L and offers, beside
the gradient by autograd, a multiplicative step that keeps every factor non-negative and has no step
size (``ratios``). Here beta_L is learned; in `pmf` it is integrated out.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from neuralNMF.cells.counts import Counts
from neuralNMF.poisson.deviance import poisson_deviance
from neuralNMF.poisson.em import TINY
from neuralNMF.poisson.guide import Guide
from neuralNMF.poisson.posterior import GammaPosterior
from neuralNMF.training.gradients import gradient_of


@dataclass
class PoissonEvaluation:
    """What one evaluation of a network gave.

    Parameters
    ----------
    loss : Tensor
        Scalar, differentiable, in units of the deviance.
    programs_t : list of Tensor
        beta_l transposed (M, k_l), l = 1 ... L.
    error : None
        The squared error is not known.
    """

    loss: Tensor
    programs_t: list[Tensor]
    error: None = None


class PoissonNetwork(nn.Module, ABC):
    """What both kinds of beta share. The loss is in units of the deviance.

    Parameters
    ----------
    thetas : sequence of Tensor
        Theta_1 (N, k_1) on the device of the counts; Theta_l (k_{l-1}, k_l), l = 2 ... L, float64
        on the host.
    guide : Guide, optional
        Adds twice its penalty to the loss, as the deviance is twice a log-likelihood.
    """

    def __init__(self, thetas: Sequence[Tensor], guide: Guide | None = None) -> None:
        super().__init__()
        self.thetas = nn.ParameterList([nn.Parameter(theta) for theta in thetas])
        self.guide = guide

    @property
    @abstractmethod
    def factors(self) -> list[nn.Parameter]:
        """All parameters that training may change."""

    @abstractmethod
    def programs(self, counts: Counts) -> list[Tensor]:
        """beta_l transposed (M, k_l), l = 1 ... L, float64 on the host, differentiable."""

    @abstractmethod
    def normalize(self, values: list[Tensor]) -> None:
        """Bring trained factors, in place, into the form that a multiplicative step expects."""

    @abstractmethod
    def ratios(self, evaluated: PoissonEvaluation, counts: Counts) -> list[Tensor]:
        """New over old of every trained factor, for one multiplicative step.

        Expects the gradients of ``evaluated.loss`` in the factors, and uses up their buffers.
        """

    def settle(self) -> None:
        """What optimisers call after a gradient step: nothing is needed."""

    def posteriors(self) -> list[GammaPosterior | None]:
        """What the last evaluation solved for beside the parameters, for `resume`."""
        return []

    def resume(self, posteriors: list[GammaPosterior | None]) -> None:
        """Before an evaluation: solve on from there, not from where a step that failed had led."""

    def finish(self) -> None:
        """After training, before the programs are read for good: nothing is needed."""

    def deviations(self) -> list[Tensor]:
        """Posterior standard deviations (M, k_l) of the programs that were read last, l = 1 ... L.

        In the units of those programs; an empty list where beta is learned.
        """
        return []

    def extra_repr(self) -> str:
        """The layers and shapes, for `repr`."""
        return f"theta={[tuple(theta.shape) for theta in self.thetas]}"

    def forward(self, counts: Counts) -> PoissonEvaluation:
        """Loss at the parameters; with a learned beta one pass over X, gradients included."""
        programs_t = self.programs(counts)
        of_layer_1 = self.behind(programs_t[-1])[0]
        loss = poisson_deviance(self.thetas[0], of_layer_1, counts)
        if self.guide is not None:
            loss = loss + 2 * self.guide.penalty(list(self.thetas))
        return PoissonEvaluation(loss, programs_t)

    def behind(self, last: Tensor) -> list[Tensor]:
        """What stands behind each Theta in the product: (Theta_{l+1} ... Theta_L beta_L)^T.

        Shape: last, beta_L transposed (M, k_L); returns (M, k_l), l = 1 ... L.
        """
        products = [last]
        for theta in reversed(list(self.thetas[1:])):
            products.append(products[-1] @ theta.T)
        return products[::-1]

    @torch.no_grad()
    def masses(self, counts: Counts) -> list[Tensor]:
        """Expected use of every program, sum_i s_i (U_l)_ik: (k_l,) float64, l = 1 ... L."""
        masses = [counts.weights(self.thetas[0])]
        for theta in self.thetas[1:]:
            masses.append(masses[-1] @ theta)
        return masses

    def _relative_gradients(self, behind: list[Tensor], counts: Counts) -> list[Tensor]:
        """g / (2 cost) of every trained Theta, in the buffer of its gradient g.

        cost: the positive part of half the deviance's gradient, an outer product of the mass of
        what comes before and that of what stands ``behind``. A guide's gradient counts as a cost
        where it is positive.
        """
        scale = counts.scale.to(self.thetas[0])
        pairs = [(scale, behind[0].sum(0).to(scale))]
        for mass, programs_t in zip(self.masses(counts), behind[1:], strict=False):
            pairs.append((mass, programs_t.sum(0)))
        of_guide = [] if self.guide is None else self.guide.gradients
        relative = []
        for number, (theta, (before, after)) in enumerate(zip(self.thetas, pairs, strict=True)):
            if not theta.requires_grad:
                continue
            before, after = before.clamp(min=TINY)[:, None], after.clamp(min=TINY)
            if number < len(of_guide):
                cost = (before * after).clamp_(min=TINY).add_(of_guide[number].clamp(min=0))
                relative.append(gradient_of(theta).div_(cost).div_(2))
            else:
                relative.append(gradient_of(theta).div_(before).div_(after).div_(2))
        return relative


class LearnedPoisson(PoissonNetwork):
    """X ~ Poisson(diag(s) Theta_1 ... Theta_L beta_L), all of them parameters.

    The multiplicative step of all factors at once is the EM step of the chain cell -> program of
    layer 1 -> ... -> program of layer L -> gene (probabilistic latent semantic analysis with a
    chain of hidden variables; Hofmann 1999 is depth 1). With rows of Theta_2 ... beta_L at sum one
    the sum of all rates is that of diag(s) Theta_1, the M step falls into one for each factor, and
    the deviance never rises. Where the earlier layers are held, the new Theta_L keeps the free row
    sums.

    Parameters
    ----------
    thetas, guide
        As for `PoissonNetwork`.
    programs_t : Tensor, shape (M, k_L)
        beta_L transposed, float64 on the host.
    """

    def __init__(
        self, thetas: Sequence[Tensor], programs_t: Tensor, guide: Guide | None = None
    ) -> None:
        super().__init__(thetas, guide)
        self.programs_t = nn.Parameter(programs_t)

    @property
    def factors(self) -> list[nn.Parameter]:
        """Theta_1 ... Theta_L, beta_L transposed."""
        return [*self.thetas, self.programs_t]

    def programs(self, counts: Counts) -> list[Tensor]:
        """beta_l = Theta_{l+1} ... Theta_L beta_L, transposed."""
        return self.behind(self.programs_t)

    def normalize(self, values: list[Tensor]) -> None:
        """Rows of beta_L and, where all layers are trained, of Theta_2 ... Theta_L to sum one."""
        values[-1].div_(values[-1].sum(0).clamp(min=TINY))
        if len(values) == len(self.thetas) + 1:
            for theta in values[1:-1]:
                theta.div_(theta.sum(1).clamp(min=TINY)[:, None])

    @torch.no_grad()
    def ratios(self, evaluated: PoissonEvaluation, counts: Counts) -> list[Tensor]:
        """1 - g / (2 cost) for every trained factor, g its gradient; EM where there is no guide."""
        behind = [programs_t.detach() for programs_t in evaluated.programs_t]
        relative = self._relative_gradients(behind, counts)
        mass = self.masses(counts)[-1].clamp(min=TINY)
        relative.append(gradient_of(self.programs_t).div_(mass).div_(2))
        return [part.neg_().add_(1).clamp_(min=0) for part in relative]
