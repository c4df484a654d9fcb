"""The network of a Poisson model: Theta_1 ... Theta_L and beta_L, and how one step moves them.

It minimises the deviance of the counts under diag(s) U_l beta_l, U_l = Theta_1 ... Theta_l, summed
over the layers or of the last layer alone. Beside the gradient by autograd it offers a
multiplicative step that keeps every factor non-negative and has no step size (``ratios``). Here
every beta is learned; in `pmf` it is integrated out.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from neuralNMF.cells.counts import Counts
from neuralNMF.poisson.deviance import nested_deviance, poisson_deviance
from neuralNMF.poisson.em import TINY
from neuralNMF.poisson.guide import Guide
from neuralNMF.poisson.posterior import GammaPosterior
from neuralNMF.poisson.usage import layer_usages
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
    nested : bool
        Whether the loss is the sum of the deviances of all layers, each with programs of its own,
        or the deviance of the last layer, whose programs all layers share.
    """

    def __init__(
        self, thetas: Sequence[Tensor], guide: Guide | None = None, *, nested: bool = True
    ) -> None:
        super().__init__()
        self.thetas = nn.ParameterList([nn.Parameter(theta) for theta in thetas])
        self.guide = guide
        self.nested = nested

    @property
    @abstractmethod
    def factors(self) -> list[nn.Parameter]:
        """All parameters that training may change."""

    @abstractmethod
    def programs(self, counts: Counts, usages: Sequence[Tensor]) -> list[Tensor]:
        """beta_l transposed (M, k_l), l = 1 ... L, float64 on the host, differentiable.

        ``usages``: U_l (N, k_l) of every layer, with the nested loss; else none.
        """

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

    def memory(self) -> dict[str, Any]:
        """The classifier of the guide, where there is one: see `training.loop.Network`."""
        return {} if self.guide is None else {"guide": self.guide.memory()}

    def recall(self, memory: dict[str, Any]) -> None:
        """See `training.loop.Network`."""
        if self.guide is not None:
            self.guide.recall(memory["guide"], self.thetas[0])

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
        usages = self.usages(counts)
        programs_t = self.programs(counts, usages)
        if self.nested:
            loss = nested_deviance(usages, programs_t, counts)
        else:
            of_layer_1 = self.behind(programs_t[-1])[0]
            loss = poisson_deviance(self.thetas[0], of_layer_1, counts)
        if self.guide is not None:
            loss = loss + 2 * self.guide.penalty(list(self.thetas))
        return PoissonEvaluation(loss, programs_t)

    def usages(self, counts: Counts) -> list[Tensor]:
        """U_l (N, k_l) of every layer with the nested loss, differentiable; else none."""
        if not self.nested:
            return []
        return layer_usages(list(self.thetas), counts.threads, counts.team)

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

    @torch.no_grad()
    def rates_per_use(self, programs_t: Sequence[Tensor]) -> list[Tensor]:
        """What the rates in the loss sum to for one unit of each layer's usage.

        Shape: programs_t, beta_l transposed (M, k_l); returns (k_l,) float64, l = 1 ... L.
        """
        sums = [programs_t[-1].detach().sum(0)]
        for number in range(len(self.thetas) - 1, 0, -1):
            behind = self.thetas[number] @ sums[-1]
            sums.append(behind + programs_t[number - 1].detach().sum(0) if self.nested else behind)
        return sums[::-1]

    def _relative_gradients(self, programs_t: Sequence[Tensor], counts: Counts) -> list[Tensor]:
        """g / (2 cost) of every trained Theta, in the buffer of its gradient g.

        cost: the positive part of half the deviance's gradient, an outer product of the mass of
        what comes before and the rates of what stands behind. A guide's gradient counts as a cost
        where it is positive.
        """
        scale = counts.scale.to(self.thetas[0])
        first, *later = self.rates_per_use(programs_t)
        pairs = [(scale, first.to(scale))]
        pairs += zip(self.masses(counts), later, strict=False)
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
    """X ~ Poisson(diag(s) Theta_1 ... Theta_l beta_l), all of them parameters.

    The multiplicative step of all factors at once is the EM step of the chain cell -> program of
    layer 1 -> ... -> program of layer l -> gene (probabilistic latent semantic analysis with a
    chain of hidden variables; Hofmann 1999 is depth 1). With rows of Theta_2 ... Theta_l and beta_l
    at sum one the sum of all rates is that of diag(s) Theta_1, the M step falls into one for each
    factor, and the deviance never rises; nor does the sum of the deviances of several layers, whose
    EM counts add up. Where the earlier layers are held, the new Theta_L keeps the free row sums.

    Parameters
    ----------
    thetas, guide, nested
        As for `PoissonNetwork`.
    programs_t : sequence of Tensor, (M, k_l) each
        The programs that are parameters, beta_l transposed, float64 on the host: those of every
        layer with the nested loss, else of the last alone.
    """

    def __init__(
        self,
        thetas: Sequence[Tensor],
        programs_t: Sequence[Tensor],
        guide: Guide | None = None,
        *,
        nested: bool = True,
    ) -> None:
        super().__init__(thetas, guide, nested=nested)
        self.programs_t = nn.ParameterList([nn.Parameter(program_t) for program_t in programs_t])

    @property
    def factors(self) -> list[nn.Parameter]:
        """Theta_1 ... Theta_L, then the programs that are parameters."""
        return [*self.thetas, *self.programs_t]

    def programs(self, counts: Counts, usages: Sequence[Tensor]) -> list[Tensor]:
        """The parameters, or beta_l = Theta_{l+1} ... Theta_L beta_L, transposed."""
        return list(self.programs_t) if self.nested else self.behind(self.programs_t[-1])

    def normalize(self, values: list[Tensor]) -> None:
        """Rows of every beta and, where all layers are trained, of Theta_2 ... to sum one."""
        trained = [theta.requires_grad for theta in self.thetas]
        for program_t in values[sum(trained) :]:
            program_t.div_(program_t.sum(0).clamp(min=TINY))
        if all(trained):
            for theta in values[1 : len(trained)]:
                theta.div_(theta.sum(1).clamp(min=TINY)[:, None])

    @torch.no_grad()
    def ratios(self, evaluated: PoissonEvaluation, counts: Counts) -> list[Tensor]:
        """1 - g / (2 cost) for every trained factor, g its gradient; EM where there is no guide."""
        relative = self._relative_gradients(evaluated.programs_t, counts)
        masses = self.masses(counts)[-len(self.programs_t) :]
        for program_t, mass in zip(self.programs_t, masses, strict=True):
            if program_t.requires_grad:
                relative.append(gradient_of(program_t).div_(mass.clamp(min=TINY)).div_(2))
        return [part.neg_().add_(1).clamp_(min=0) for part in relative]
