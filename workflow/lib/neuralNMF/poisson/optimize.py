"""Extrapolated multiplicative steps: monotone, and without a step size to choose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from neuralNMF.cells.counts import Counts
from neuralNMF.poisson.em import GROWTH, LARGEST_POWER, RETREAT, extrapolate
from neuralNMF.poisson.network import PoissonNetwork, PoissonPass

_TINY = 1e-30
_SMALLEST_STEP = 2.0**-10


class Multiplicative:
    """Steps x -> x * ratio of all factors at once, extrapolated in the logarithm as in ``klnmf``.

    An extrapolation that raises the loss is taken back; so is a plain step, which then goes on with
    the square root of the ratio, and so on. One pass over X an epoch with a learned beta, two after
    a failed extrapolation. Holds four copies of Theta_1, one more with a guide.
    """

    def __init__(self, network: PoissonNetwork, counts: Counts) -> None:
        self._network, self._counts = network, counts
        self._trained = [factor for factor in network.factors if factor.requires_grad]
        self._power, self._step = 0.5, 1.0
        self._previous: list[Tensor] | None = None
        self._ended = False
        self._solved = network.solved()
        self.found = self._evaluate([factor.data for factor in self._trained])
        self._solved = network.solved()

    def epoch(self) -> bool:
        """One step that does not raise the loss; False where none was found."""
        if self._ended:
            return False
        self.found.loss.backward()
        # Without its graph, which would hold one more gradient by Theta_1.
        self.found = replace(self.found, loss=self.found.loss.detach())
        level = self.found.loss.item()
        before = [factor.data for factor in self._trained]
        # From here on in the buffers of the gradients.
        moved = self._network.ratios(self.found, self._counts)
        for ratio, value in zip(moved, before, strict=True):
            ratio.pow_(self._step).mul_(value)
        self._network.normalize(moved)
        found = None
        if self._step == 1.0:
            if self._previous is not None:
                found = self._extrapolated(moved, before, level)
            self._previous = moved
        while found is None:
            trial = self._evaluate(moved)
            if trial.loss.item() <= level:
                found = trial
                self._step = min(1.0, 2 * self._step)
            elif self._step > _SMALLEST_STEP:
                self._step /= 2
                self._previous = None
                moved = self._halved(moved, before)
            else:
                self._put(before)
                self._network.resume(self._solved)
                self._ended = True
                return False
        self.found, self._solved = found, self._network.solved()
        return True

    def _halved(self, moved: list[Tensor], before: list[Tensor]) -> list[Tensor]:
        """Half the step in the logarithm, in the buffers of ``moved``."""
        for new, old in zip(moved, before, strict=True):
            new.div_(old.clamp(min=_TINY)).sqrt_().mul_(old)
        self._network.normalize(moved)
        return moved

    def _extrapolated(
        self, plain: list[Tensor], before: list[Tensor], level: float
    ) -> PoissonPass | None:
        """Beyond the plain step in the direction from the last one; None where the loss rises."""
        trial = []
        for new, old, now in zip(plain, self._previous, before, strict=True):
            # After a plain step the last one is where the factors are: needed if this one fails.
            place = old.clone() if old.data_ptr() == now.data_ptr() else old
            trial.append(extrapolate(new, place, self._power))
        self._network.normalize(trial)
        found = self._evaluate(trial)
        if found.loss.item() <= level:
            self._power = min(LARGEST_POWER, GROWTH * self._power)
            return found
        self._power /= RETREAT
        return None

    def _put(self, values: Sequence[Tensor]) -> None:
        for factor, value in zip(self._trained, values, strict=True):
            factor.data, factor.grad = value, None

    def _evaluate(self, values: Sequence[Tensor]) -> PoissonPass:
        self._put(values)
        self._network.resume(self._solved)
        return self._network(self._counts)
