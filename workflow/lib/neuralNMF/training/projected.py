"""Plain gradient steps, projected on Theta >= 0: ``adam`` and ``gd``, for comparison."""

from __future__ import annotations

from typing import Any, Protocol

import torch

from neuralNMF.training.loop import Evaluation, Network, copied_into


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
        The network is evaluated on it.
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
        for factor in self._trained:
            factor.data = factor.detach().clone()  # what it started from is left as it is
        self._entries = data.entries
        rate = None if lr == "auto" else float(lr)
        if kind == "adam":
            groups = [
                {"params": [factor], "lr": rate or 0.02 * max(self._mean(factor), 1e-12)}
                for factor in self._trained
            ]
            self._steps: torch.optim.Optimizer = torch.optim.Adam(groups)
        else:
            self._steps = torch.optim.SGD(self._trained, lr=rate or 1.0)
        self._memory = network.memory()
        self.found = network(data)

    def _mean(self, factor: torch.Tensor) -> float:
        """The mean entry of a factor; of Theta_1 that over the cells of all processes."""
        own: float = factor.detach().mean().item()
        if factor is not self._network.factors[0]:
            return own
        cells, genes = self._data.shape
        return self._data.team.total(own * (cells * genes / self._entries))

    def epoch(self) -> bool:
        """Take one gradient step and project it; always True."""
        self._steps.zero_grad()
        (self.found.loss / self._entries).backward()
        self._steps.step()
        with torch.no_grad():
            for factor in self._trained:
                factor.clamp_min_(0)
        self._network.settle()
        self._memory = self._network.memory()
        self.found = self._network(self._data)
        return True

    def state(self) -> dict[str, Any]:
        """See `training.loop.Optimizer`."""
        return {
            "factors": [factor.detach() for factor in self._network.factors],
            "memory": self._memory,
            "rates": [group["lr"] for group in self._steps.param_groups],
            "moments": [self._steps.state.get(factor, {}) for factor in self._trained],
        }

    def resume(self, state: dict[str, Any]) -> None:
        """See `training.loop.Optimizer`."""
        copied_into(self._network.factors, state["factors"])
        for group, rate in zip(self._steps.param_groups, state["rates"], strict=True):
            group["lr"] = rate
        for factor, moments in zip(self._trained, state["moments"], strict=True):
            if moments:
                self._steps.state[factor] = {
                    # Adam counts its steps on the host.
                    name: torch.from_numpy(value).to("cpu" if name == "step" else factor.device)
                    for name, value in moments.items()
                }
        self._memory = state["memory"]
        self._network.recall(self._memory)
        self.found = self._network(self._data)
