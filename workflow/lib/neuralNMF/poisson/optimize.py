"""Extrapolated multiplicative steps of a Poisson network: monotone, with no step size to choose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import torch
from torch import Tensor

from neuralNMF.cells.counts import Counts
from neuralNMF.poisson.em import TINY, extrapolated
from neuralNMF.poisson.network import PoissonEvaluation, PoissonNetwork
from neuralNMF.solvers.extrapolation import Extrapolation
from neuralNMF.training.loop import copied_into

_SMALLEST_STEP = 2.0**-10


class Multiplicative:
    """Steps x -> x * ratio of all factors at once, extrapolated in the logarithm as in `em`.

    An extrapolation that raises the loss is taken back; so is a plain step, which then goes on with
    the square root of the ratio, and so on. One pass over X an epoch with a learned beta, two after
    a failed extrapolation. Holds four copies of Theta_1, one more with a guide.

    Parameters
    ----------
    network : PoissonNetwork
        Its factors that require a gradient are trained, in place.
    counts : Counts
        X (N, M) with the library sizes.

    Attributes
    ----------
    found : PoissonEvaluation
        Of the parameters as they stand.
    """

    def __init__(self, network: PoissonNetwork, counts: Counts) -> None:
        self._network, self._counts = network, counts
        self._trained = [factor for factor in network.factors if factor.requires_grad]
        self._extrapolation, self._step = Extrapolation.logarithmic(), 1.0
        self._last_plain: list[Tensor] | None = None
        self._ended = False
        self._posteriors = network.posteriors()
        self._memory: dict[str, Any] = {}
        self.found = self._evaluate([factor.data for factor in self._trained])
        self._posteriors = network.posteriors()

    def epoch(self) -> bool:
        """One step that does not raise the loss; False where none was found, for good."""
        if self._ended:
            return False
        self.found.loss.backward()
        # Without its graph, which would hold one more gradient by Theta_1.
        self.found = replace(self.found, loss=self.found.loss.detach())
        level = self.found.loss.item()
        before = [factor.data for factor in self._trained]
        # From here on in the buffers of the gradients.
        plain = self._network.ratios(self.found, self._counts)
        for ratio, value in zip(plain, before, strict=True):
            ratio.pow_(self._step).mul_(value)
        self._network.normalize(plain)
        better = None
        if self._step == 1.0:
            if self._last_plain is not None:
                better = self._beyond(plain, self._last_plain, before, level)
            self._last_plain = plain
        if better is None:
            better = self._plain_or_shorter(plain, before, level)
        if better is None:
            self._put(before)
            self._network.resume(self._posteriors)
            self._ended = True
            return False
        self.found, self._posteriors = better, self._network.posteriors()
        return True

    def state(self) -> dict[str, Any]:
        """See `training.loop.Optimizer`."""
        return {
            "factors": [factor.detach() for factor in self._network.factors],
            "last_plain": self._last_plain,
            "step": self._step,
            "extrapolation": asdict(self._extrapolation),
            "memory": self._memory,
        }

    def resume(self, state: dict[str, Any]) -> None:
        """See `training.loop.Optimizer`."""
        copied_into(self._network.factors, state["factors"])
        self._last_plain = None
        if state["last_plain"] is not None:
            pairs = zip(state["last_plain"], self._trained, strict=True)
            self._last_plain = [torch.from_numpy(value).to(f.device) for value, f in pairs]
        self._step = state["step"]
        self._extrapolation = Extrapolation(**state["extrapolation"])
        self._network.recall(state["memory"])
        self._posteriors = self._network.posteriors()
        self.found = self._evaluate([factor.data for factor in self._trained])
        self._posteriors = self._network.posteriors()

    def _beyond(
        self, plain: list[Tensor], last: list[Tensor], before: list[Tensor], level: float
    ) -> PoissonEvaluation | None:
        """Beyond the plain step in the direction from the last one; None where the loss rises."""
        trial = []
        for new, old, now in zip(plain, last, before, strict=True):
            # After a plain step the last one is where the factors are: needed if this one fails.
            buffer = old.clone() if old.data_ptr() == now.data_ptr() else old
            trial.append(extrapolated(new, buffer, self._extrapolation.rate))
        self._network.normalize(trial)
        evaluated = self._evaluate(trial)
        if evaluated.loss.item() <= level:
            self._extrapolation.grow()
            return evaluated
        self._extrapolation.retreat()
        return None

    def _plain_or_shorter(
        self, moved: list[Tensor], before: list[Tensor], level: float
    ) -> PoissonEvaluation | None:
        """The plain step, halved in the logarithm until the loss does not rise; None: too short."""
        while True:
            evaluated = self._evaluate(moved)
            if evaluated.loss.item() <= level:
                self._step = min(1.0, 2 * self._step)
                return evaluated
            if self._step <= _SMALLEST_STEP:
                return None
            self._step /= 2
            self._last_plain = None
            for new, old in zip(moved, before, strict=True):
                new.div_(old.clamp(min=TINY)).sqrt_().mul_(old)
            self._network.normalize(moved)

    def _put(self, values: Sequence[Tensor]) -> None:
        for factor, value in zip(self._trained, values, strict=True):
            factor.data, factor.grad = value, None

    def _evaluate(self, values: Sequence[Tensor]) -> PoissonEvaluation:
        self._put(values)
        self._network.resume(self._posteriors)
        self._memory = self._network.memory()
        return self._network(self._counts)
