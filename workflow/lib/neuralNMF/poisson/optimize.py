"""Extrapolated multiplicative steps: monotone, and without a step size to choose."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from neuralNMF.network import Pass
from neuralNMF.poisson.counts import Counts
from neuralNMF.poisson.network import PoissonNetwork

_TINY = 1e-30
_LARGEST_CHANGE = 5.0
_LARGEST_POWER = 3.0
_GROWTH, _RETREAT = 1.05, 1.5
_SMALLEST_STEP = 2.0**-10


class Multiplicative:
    """Steps x -> x * ratio of all factors at once, extrapolated in the logarithm as in ``klnmf``.

    An extrapolation that raises the loss is taken back; so is a plain step, which then goes on with
    the square root of the ratio, and so on. One pass over X an epoch with a learned beta, two after
    a failed extrapolation. Holds five copies of Theta_1.
    """

    def __init__(self, network: PoissonNetwork, counts: Counts) -> None:
        self._network, self._counts = network, counts
        self._trained = [factor for factor in network.factors if factor.requires_grad]
        self._power, self._step = 0.5, 1.0
        self._previous: list[Tensor] | None = None
        self.found = self._evaluate([factor.data for factor in self._trained])

    def epoch(self) -> bool:
        """One step that does not raise the loss; False where none was found."""
        if self._trained[0].grad is None:
            self.found.loss.backward()
        level = self.found.loss.item()
        before = [factor.data for factor in self._trained]
        gradients = [factor.grad for factor in self._trained]
        ratios = self._network.ratios(self.found, self._counts)
        found = None
        if self._step == 1.0:
            plain = self._stepped(before, ratios, 1.0)
            if self._previous is not None:
                found = self._extrapolated(plain, level)
            self._previous = plain
        while found is None:
            trial = self._evaluate(self._stepped(before, ratios, self._step))
            if trial.loss.item() <= level:
                found = trial
                self._step = min(1.0, 2 * self._step) if self._step < 1.0 else 1.0
            elif self._step > _SMALLEST_STEP:
                self._step /= 2
                self._previous = None
            else:
                self._put(before, gradients)
                return False
        self.found = found
        return True

    def _stepped(self, values: list[Tensor], ratios: list[Tensor], power: float) -> list[Tensor]:
        moved = [value * ratio**power for value, ratio in zip(values, ratios, strict=True)]
        self._network.normalize(moved)
        return moved

    def _extrapolated(self, plain: list[Tensor], level: float) -> Pass | None:
        """Beyond the plain step in the direction from the last one; None where the loss rises."""
        trial = [
            _beyond(new, old, self._power) for new, old in zip(plain, self._previous, strict=True)
        ]
        self._network.normalize(trial)
        found = self._evaluate(trial)
        if found.loss.item() <= level:
            self._power = min(_LARGEST_POWER, _GROWTH * self._power)
            return found
        self._power /= _RETREAT
        return None

    def _put(self, values: Sequence[Tensor], gradients: Sequence[Tensor | None]) -> None:
        for factor, value, gradient in zip(self._trained, values, gradients, strict=True):
            factor.data, factor.grad = value, gradient

    def _evaluate(self, values: Sequence[Tensor]) -> Pass:
        self._put(values, [None] * len(values))
        return self._network(self._counts)


def _beyond(new: Tensor, old: Tensor, power: float) -> Tensor:
    ratio = (old + _TINY).reciprocal_().mul_(new)
    return ratio.clamp_(1 / _LARGEST_CHANGE, _LARGEST_CHANGE).pow_(power).mul_(new)
