"""Plain gradient steps, projected on Theta >= 0: ``adam`` and ``gd``, for comparison."""

from __future__ import annotations

from typing import Any, Protocol

import torch

from neuralNMF.training.loop import Evaluation, Network


class Differentiable(Network, Protocol):
    """A network whose loss has gradients by autograd."""

    def __call__(self, data: Any) -> Evaluation:
        """The loss on the data, differentiable by the factors."""

    def settle(self) -> None:
        """Bring the parameters, after a step, into the form that an evaluation expects."""


class Projected:
    """Adam or plain gradient steps on the mean loss an entry, projected on Theta >= 0.

    Not monotone: the caller keeps the best.

    Parameters
    ----------
    network : Differentiable
    data : Products or Counts
        The network is evaluated on it; its ``shape`` is (N cells, M genes).
    kind : {"adam", "gd"}
        ``gd`` with a rate of 1 is the original program's way.
    lr : float or "auto"
        Learning rate; ``auto`` is 2 % of the mean entry of each factor for adam, and 1 for gd.
    """

    def __init__(
        self, network: Differentiable, data: Any, *, kind: str, lr: float | str = "auto"
    ) -> None:
        self._network, self._data = network, data
        self._trained = [factor for factor in network.factors if factor.requires_grad]
        self._entries = float(data.shape[0]) * data.shape[1]
        rate = None if lr == "auto" else float(lr)
        if kind == "adam":
            groups = [
                {"params": [factor], "lr": rate or 0.02 * max(factor.detach().mean().item(), 1e-12)}
                for factor in self._trained
            ]
            self._steps: torch.optim.Optimizer = torch.optim.Adam(groups)
        else:
            self._steps = torch.optim.SGD(self._trained, lr=rate or 1.0)
        self.found = network(data)

    def epoch(self) -> bool:
        """Take one gradient step and project it; always True."""
        self._steps.zero_grad()
        (self.found.loss / self._entries).backward()
        self._steps.step()
        with torch.no_grad():
            for factor in self._trained:
                factor.clamp_min_(0)
        self._network.settle()
        self.found = self._network(self._data)
        return True
