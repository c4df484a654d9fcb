"""The networks of the Poisson models: Theta_1 ... Theta_L, and beta_L learned or integrated out.

Both minimise the deviance of the counts under diag(s) Theta_1 ... Theta_L beta_L and offer, beside
the gradient by autograd, a multiplicative step that keeps every factor non-negative and has no
step size (``ratios``).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from neuralNMF.cells.counts import Counts
from neuralNMF.poisson.deviance import poisson_deviance
from neuralNMF.poisson.guide import Guide
from neuralNMF.poisson.pmf import PmfState, pmf_programs_t
from neuralNMF.poisson.posterior import GammaPosterior, GammaPrior

_TINY = 1e-30
# Updates of a posterior that was not known before, and from one epoch to the next.
_FIRST_STEPS, _STEPS = 60, 5
# A factor may change at most so much by one step along the gradient.
_LARGEST_CHANGE = 5.0


@dataclass
class PoissonPass:
    """What one evaluation gave.

    Parameters
    ----------
    loss : Tensor
        Scalar, differentiable, in units of the deviance.
    programs_t : list of (M, k_l)
        beta_l transposed, l = 1 ... L.
    error : None
        The squared error is not known.
    """

    loss: Tensor
    programs_t: list[Tensor]
    error: None = None


class PoissonNetwork(nn.Module, ABC):
    """What both models share.

    Shape: thetas[0] (N, k_1) on the device of the counts; thetas[l] (k_l, k_{l+1}) float64 on the
    host. ``guide``: adds its cross-entropy to the loss. The loss is in units of the deviance.
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
        """beta_l transposed (M, k_l) float64, l = 1 ... L, differentiable."""

    def settle(self) -> None:
        """What `optimize` calls after a gradient step: nothing is needed."""

    @abstractmethod
    def normalize(self, values: list[Tensor]) -> None:
        """In place, after a multiplicative step: the form that the next one expects.

        values: of the trained factors.
        """

    @abstractmethod
    def ratios(self, found: PoissonPass, counts: Counts) -> list[Tensor]:
        """New over old of every trained factor, for one multiplicative step.

        Expects the gradients of ``found.loss`` in the factors, and uses their buffers.
        """

    def solved(self) -> list[GammaPosterior | None]:
        """What the last evaluation solved for beside the parameters: for `resume`."""
        return []

    def resume(self, solved: list[GammaPosterior | None]) -> None:
        """Before an evaluation: solve on from there, not from where a step that failed had led."""

    def finish(self) -> None:
        """After training, before the programs are read for good: nothing is needed."""

    def deviations(self) -> list[Tensor]:
        """Posterior standard deviations of beta_l transposed (M, k_l); none where beta is learned.

        Of the programs that were read last.
        """
        return []

    def extra_repr(self) -> str:
        """The layers and shapes, for `repr`."""
        return f"theta={[tuple(theta.shape) for theta in self.thetas]}"

    def forward(self, counts: Counts) -> PoissonPass:
        """One pass over X, with a learned beta; the gradients cost no other."""
        programs_t = self.programs(counts)
        whole = self.through(programs_t[-1])[0]
        deviance = poisson_deviance(self.thetas[0], whole, counts)
        loss = deviance
        if self.guide is not None:
            loss = loss + 2 * self.guide.penalty(list(self.thetas))
        return PoissonPass(loss, programs_t)

    def through(self, last: Tensor) -> list[Tensor]:
        """(Theta_{l+1} ... Theta_L beta_L) transposed, (M, k_l), l = 1 ... L; last: (M, k_L)."""
        chain = [last]
        for theta in reversed(list(self.thetas[1:])):
            chain.append(chain[-1] @ theta.T)
        return chain[::-1]

    @torch.no_grad()
    def masses(self, counts: Counts) -> list[Tensor]:
        """Expected use of every program, sum_i s_i (U_l)_ik: (k_l,) float64, l = 1 ... L."""
        found = [counts.weights(self.thetas[0])]
        for theta in self.thetas[1:]:
            found.append(found[-1] @ theta)
        return found

    def _relative(self, programs_t: list[Tensor], counts: Counts) -> list[Tensor]:
        """g / (2 cost) of every trained Theta, in the buffer of its gradient g.

        cost: the positive part of half the deviance's gradient, an outer product of what comes
        before and what comes behind; programs_t as `through`.
        """
        scale = counts.scale.to(self.thetas[0])
        pairs = [(scale, programs_t[0].sum(0).to(scale))]
        for mass, behind in zip(self.masses(counts), programs_t[1:], strict=False):
            pairs.append((mass, behind.sum(0)))
        extra = [] if self.guide is None else self.guide.gradients
        result = []
        for number, (theta, (left, right)) in enumerate(zip(self.thetas, pairs, strict=True)):
            if not theta.requires_grad:
                continue
            left, right = left.clamp(min=_TINY)[:, None], right.clamp(min=_TINY)
            if number < len(extra):
                # The gradient holds the guide's: a positive one is a cost.
                cost = (left * right).clamp_(min=_TINY).add_(extra[number].clamp(min=0))
                result.append(theta.grad.div_(cost).div_(2))
            else:
                result.append(theta.grad.div_(left).div_(right).div_(2))
        return result


class LearnedPoisson(PoissonNetwork):
    """X ~ Poisson(diag(s) Theta_1 ... Theta_L beta_L), all of them parameters.

    The multiplicative step of all factors at once is the EM step of the chain cell -> program of
    layer 1 -> ... -> program of layer L -> gene (probabilistic latent semantic analysis with a
    chain of hidden variables; Hofmann 1999 is depth 1). With rows of Theta_2 ... beta_L at sum one
    the sum of all rates is that of diag(s) Theta_1, the M step falls into one for each factor, and
    the deviance never rises. Where the earlier layers are held, the new Theta_L keeps the free row
    sums.

    Shape: programs_t beta_L transposed (M, k_L) float64 on the host.
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
        return self.through(self.programs_t)

    def normalize(self, values: list[Tensor]) -> None:
        """Rows of beta_L and, where all layers are trained, of Theta_2 ... Theta_L to sum one."""
        values[-1].div_(values[-1].sum(0).clamp(min=_TINY))
        if len(values) == len(self.thetas) + 1:
            for theta in values[1:-1]:
                theta.div_(theta.sum(1).clamp(min=_TINY)[:, None])

    @torch.no_grad()
    def ratios(self, found: PoissonPass, counts: Counts) -> list[Tensor]:
        """1 - g / (2 cost) for every trained factor, g its gradient; EM without a guide.

        A guide's gradient counts as a cost where it is positive.
        """
        relative = self._relative([part.detach() for part in found.programs_t], counts)
        if self.programs_t.requires_grad:
            mass = self.masses(counts)[-1].clamp(min=_TINY)
            relative.append(self.programs_t.grad.div_(mass).div_(2))
        return [part.neg_().add_(1).clamp_(min=0) for part in relative]


class PmfPoisson(PoissonNetwork):
    """Poisson matrix factorization: beta_l = E[beta | Theta_l, beta_{l-1}], layer after layer.

    Layer 1 sees the counts; layer l sees E[beta_{l-1}] times the mass of its programs, which makes
    it expected counts again, with Theta_l times the same masses. The gradient by every Theta goes
    through the fixed points of all posteriors (``pmf``).

    known: where the posteriors start, beta_l transposed (M, k_l), of the first layers or of all.
    """

    def __init__(
        self,
        thetas: Sequence[Tensor],
        prior: GammaPrior,
        known: Sequence[Tensor],
        guide: Guide | None = None,
    ) -> None:
        super().__init__(thetas, guide)
        self.prior = prior
        self.states = [PmfState(prior, steps=_FIRST_STEPS) for _ in thetas]
        self._known = list(known)

    @property
    def factors(self) -> list[nn.Parameter]:
        """Theta_1 ... Theta_L."""
        return list(self.thetas)

    def programs(self, counts: Counts) -> list[Tensor]:
        """E[beta_l] transposed, from the posteriors of the last call onwards."""
        programs_t = [self._solve(0, self.thetas[0], counts)]
        scale = counts.scale.to(self.thetas[0])
        mass = (scale @ self.thetas[0]).double().cpu()
        for layer, theta in enumerate(self.thetas[1:], start=1):
            expected = (programs_t[-1] * mass).T
            programs_t.append(self._solve(layer, mass[:, None] * theta, expected))
            mass = mass @ theta
        return programs_t

    def solved(self) -> list[GammaPosterior | None]:
        """The posteriors."""
        return [state.posterior for state in self.states]

    def resume(self, solved: list[GammaPosterior | None]) -> None:
        """From these posteriors on."""
        for state, posterior in zip(self.states, solved, strict=True):
            state.posterior = posterior

    def finish(self) -> None:
        """Lets the posteriors converge when they are read the next time."""
        for state in self.states:
            state.steps = _FIRST_STEPS

    def deviations(self) -> list[Tensor]:
        """See `PoissonNetwork.deviations`."""
        return [state.posterior.deviation for state in self.states]

    def _solve(self, layer: int, theta: Tensor, source: Counts | Tensor) -> Tensor:
        state = self.states[layer]
        if state.posterior is None and layer < len(self._known):
            weights = source.weights(theta) if isinstance(source, Counts) else theta.detach().sum(0)
            state.posterior = GammaPosterior(
                self.prior.shape + self._known[layer] * weights, self.prior.rate + weights
            )
        found = pmf_programs_t(theta, source, state)
        state.steps = _STEPS
        return found

    def normalize(self, values: list[Tensor]) -> None:
        """Nothing: the prior gives the factors their scale."""

    @torch.no_grad()
    def ratios(self, found: PoissonPass, counts: Counts) -> list[Tensor]:
        """exp(-g / (2 cost)) for every Theta: with the posterior held, nearly the EM step."""
        relative = self._relative(self.through(found.programs_t[-1].detach()), counts)
        return [
            part.neg_().exp_().clamp_(1 / _LARGEST_CHANGE, _LARGEST_CHANGE) for part in relative
        ]
