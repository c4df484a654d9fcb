"""The network of Poisson matrix factorization: beta_l is its posterior mean given the usage.

E[beta] is a differentiable function of Theta and of the input, with the gradient of the converged
posterior: it goes through the fixed point (`posterior`), not through unrolled updates. It is exact
where the posterior has converged, otherwise off by the order of the distance from the fixed point.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from neuralNMF.cells.counts import FLOOR, Counts, dense_counts
from neuralNMF.poisson.guide import Guide
from neuralNMF.poisson.network import PoissonEvaluation, PoissonNetwork
from neuralNMF.poisson.posterior import (
    GammaPosterior,
    GammaPrior,
    adjoint,
    posterior_around,
    solve,
)

# Updates of a posterior that was not known before, and from one epoch to the next.
_FIRST_STEPS, _STEPS = 60, 5
# A factor may change at most so much by one step along the gradient.
_LARGEST_CHANGE = 5.0


@dataclass
class PmfState:
    """Posterior of one layer, carried from epoch to epoch, and how it is solved.

    Parameters
    ----------
    prior : GammaPrior
    start : Tensor, shape (M, k)
        Programs that the first posterior is begun from, float64 on the host.
    steps, tol
        Of the next solution, as for `posterior.solve`.
    posterior : GammaPosterior, optional
        The last one; none before the first evaluation.
    """

    prior: GammaPrior
    start: Tensor
    steps: int = _FIRST_STEPS
    tol: float = 1e-8
    posterior: GammaPosterior | None = None


class PmfPoisson(PoissonNetwork):
    """Poisson matrix factorization: every beta is its posterior mean given the Thetas.

    With the nested loss beta_l = E[beta | X, U_l]: every layer sees the counts. Otherwise
    beta_l = E[beta | Theta_l, beta_{l-1}]: layer 1 sees the counts; layer l sees E[beta_{l-1}]
    times the mass of its programs, which makes it expected counts again, with Theta_l times the
    same masses. The gradient by every Theta goes through the fixed points of all posteriors.

    Parameters
    ----------
    thetas, guide, nested
        As for `PoissonNetwork`; with a cell's usage at one on average the prior is in counts a
        gene.
    prior : GammaPrior
    starts : sequence of Tensor
        Where the posteriors start: beta_l transposed (M, k_l), l = 1 ... L, float64 on the host.
    """

    def __init__(
        self,
        thetas: Sequence[Tensor],
        prior: GammaPrior,
        starts: Sequence[Tensor],
        guide: Guide | None = None,
        *,
        nested: bool = True,
    ) -> None:
        super().__init__(thetas, guide, nested=nested)
        self.states = [PmfState(prior, start) for start in starts]

    @property
    def factors(self) -> list[nn.Parameter]:
        """Theta_1 ... Theta_L."""
        return list(self.thetas)

    def programs(self, counts: Counts, usages: Sequence[Tensor]) -> list[Tensor]:
        """E[beta_l] transposed, from the posteriors of the last call onwards."""
        if self.nested:
            programs_t = [
                pmf_programs_t(usage, counts, state)
                for usage, state in zip(usages, self.states, strict=True)
            ]
        else:
            programs_t = self._one_after_another(counts)
        for state in self.states:
            state.steps = _STEPS
        return programs_t

    def _one_after_another(self, counts: Counts) -> list[Tensor]:
        programs_t = [pmf_programs_t(self.thetas[0], counts, self.states[0])]
        mass = _Weights.apply(self.thetas[0], counts)
        for theta, state in zip(self.thetas[1:], self.states[1:], strict=True):
            expected = (programs_t[-1] * mass).T
            programs_t.append(pmf_programs_t(mass[:, None] * theta, expected, state))
            mass = mass @ theta
        return programs_t

    def posteriors(self) -> list[GammaPosterior | None]:
        """Of every layer, none before the first evaluation."""
        return [state.posterior for state in self.states]

    def resume(self, posteriors: list[GammaPosterior | None]) -> None:
        """From these posteriors on."""
        for state, posterior in zip(self.states, posteriors, strict=True):
            state.posterior = posterior

    def memory(self) -> dict[str, Any]:
        """The posteriors as well: see `training.loop.Network`."""
        posteriors = [None if found is None else vars(found) for found in self.posteriors()]
        steps = [state.steps for state in self.states]
        return super().memory() | {"posteriors": posteriors, "steps": steps}

    def recall(self, memory: dict[str, Any]) -> None:
        """See `training.loop.Network`."""
        super().recall(memory)
        parts = zip(self.states, memory["posteriors"], memory["steps"], strict=True)
        for state, posterior, steps in parts:
            state.steps, state.posterior = steps, None
            if posterior is not None:
                arrays = {name: torch.from_numpy(value) for name, value in posterior.items()}
                state.posterior = GammaPosterior(**arrays)

    def finish(self) -> None:
        """Lets the posteriors converge when the programs are read the next time."""
        for state in self.states:
            state.steps = _FIRST_STEPS

    def deviations(self) -> list[Tensor]:
        """See `PoissonNetwork.deviations`."""
        posteriors = self.posteriors()
        return [posterior.deviation for posterior in posteriors if posterior is not None]

    def normalize(self, values: list[Tensor]) -> None:
        """Nothing: the prior gives the factors their scale."""

    @torch.no_grad()
    def ratios(self, evaluated: PoissonEvaluation, counts: Counts) -> list[Tensor]:
        """exp(-g / (2 cost)) for every Theta: with the posterior held, nearly the EM step."""
        return [
            part.neg_().exp_().clamp_(1 / _LARGEST_CHANGE, _LARGEST_CHANGE)
            for part in self._relative_gradients(evaluated.programs_t, counts)
        ]


def pmf_programs_t(theta: Tensor, source: Counts | Tensor, state: PmfState) -> Tensor:
    """E[beta] transposed of X ~ Poisson(diag(s) theta beta), differentiable.

    Parameters
    ----------
    theta : Tensor, shape (n, k)
        On the device of the input.
    source : Counts or Tensor, shape (n, M)
        The counts, or the expectations of the layer below as a dense tensor, by which the result is
        differentiable too.
    state : PmfState
        Its posterior is brought up to date.

    Returns
    -------
    Tensor, shape (M, k)
        float64 on the host.
    """
    if isinstance(source, Counts):
        counts, entries = source, None
    else:
        counts, entries = dense_counts(source, floor=FLOOR), source
    return _PosteriorMean.apply(theta, entries, counts, state)


class _Weights(torch.autograd.Function):
    """`Counts.weights`, differentiable: over the cells of all processes, in double precision.

    All processes go on with the same sum, so the gradient by it is the same in each, and is that by
    the own part too.
    """

    @staticmethod
    def forward(ctx: Any, theta: Tensor, counts: Counts) -> Tensor:
        """Shape: theta (n, k); the sum (k,) float64 on the host."""
        ctx.scale = counts.scale.to(theta)
        return counts.weights(theta)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        """s_i times the gradient, for every cell."""
        return ctx.scale[:, None] * grad.to(ctx.scale), None


class _PosteriorMean(torch.autograd.Function):
    """(Theta, X) -> E[beta] transposed, (M, k) float64 on the host.

    Shape: theta (n, k); entries (n, M) dense and differentiable, or None where X is ``counts``.
    """

    @staticmethod
    def forward(
        ctx: Any, theta: Tensor, entries: Tensor | None, counts: Counts, state: PmfState
    ) -> Tensor:
        """Updates the posterior in ``state`` and returns its mean."""
        posterior = state.posterior
        if posterior is None:
            weights = counts.weights(theta) if entries is None else theta.sum(0)
            posterior = posterior_around(state.start, weights, state.prior)
        state.posterior = solve(
            counts, theta, posterior, state.prior, steps=state.steps, tol=state.tol
        )
        ctx.save_for_backward(theta, entries)
        ctx.counts, ctx.posterior = counts, state.posterior
        return state.posterior.mean

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor | None, None, None]:
        """Adjoint of the fixed point, then one pass for Theta and one product for X."""
        theta, entries = ctx.saved_tensors
        counts, posterior = ctx.counts, ctx.posterior
        shape, rate = posterior.shape, posterior.rate
        factor = posterior.log_mean.exp()
        slopes = counts.rates(theta, factor, columns=True).columns
        by_shape = adjoint(counts, theta, posterior, slopes, grad / rate)
        direction = factor * by_shape
        bend, by_theta = counts.curvature(theta, factor, direction, rows=True)
        by_factor = by_shape * slopes - bend
        # The rate enters E[beta] = a / b and v = exp(psi(a)) / b.
        by_rate = -(grad * shape / rate + by_factor * factor).sum(0) / rate
        scale = counts.scale.to(by_theta)
        by_theta.addr_(scale, by_rate.to(by_theta))
        by_entries = None
        if ctx.needs_input_grad[1]:
            scaled = theta.detach() * scale[:, None]
            rates = scaled @ factor.to(theta).T + counts.floor
            by_entries = (scaled @ direction.to(theta).T / rates).to(entries)
        return by_theta, by_entries, None, None
