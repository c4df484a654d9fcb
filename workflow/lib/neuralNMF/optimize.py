"""Ways to lower the network's loss over Theta >= 0: ``auto``, ``adam``, ``gd``, one interface."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from neuralNMF.kernels.columns import descend_columns
from neuralNMF.kernels.descent import descend_matrix, descend_rows
from neuralNMF.network import NeuralNMF, Pass
from neuralNMF.products import Products

# Passes over the coordinates for one gradient: cheap beside the gradient, and each brings the step
# nearer to Newton's.
_SWEEPS = 4
_MOST_DAMPING = 2.0**24


class Optimizer(Protocol):
    """Steps of training. ``found`` belongs to the parameters as they stand."""

    found: Pass

    def epoch(self) -> bool:
        """One epoch; False where no step lowers the loss any further."""


class Auto:
    """Accelerated projected Newton-type steps: monotone, and without a step size to choose.

    The gradient is the network's own, by autograd. Each Theta then goes to (nearly) the minimum
    over Theta >= 0 of the quadratic model with that gradient and the curvature that the loss has
    with beta held, by coordinate descent. For one layer, the model lies above the loss and the step
    is that of HALS (Cichocki & Phan 2009); for several, it may not, and the curvature is raised
    until the loss falls. Steps are extrapolated and the extrapolation taken back where it fails,
    with the factors of Ang & Gillis (2019, Neural Computation 31(2)). Two passes over X an epoch,
    three after a failed extrapolation.

    ``damping``: the curvature's first multiple, 1 / lr.
    Holds at most four copies of Theta_1.
    """

    def __init__(
        self,
        network: NeuralNMF,
        products: Products,
        *,
        damping: float = 1.0,
        threads: int | None = None,
    ) -> None:
        self._network, self._products = network, products
        self._threads = threads or torch.get_num_threads()
        self._trained = [theta for theta in network.factors if theta.requires_grad]
        self._least_damping = self._damping = damping
        self._momentum, self._ceiling = 0.5, 1.0
        self._previous: list[Tensor] | None = None
        self._proposal: list[Tensor] | None = None
        self.found = self._evaluate([theta.data for theta in self._trained])

    def epoch(self) -> bool:
        """One step that does not raise the loss; False where none was found."""
        if self._proposal is None:
            self._proposal = self._propose()
        before = [theta.data for theta in self._trained]
        gradients = [theta.grad for theta in self._trained]
        level = self.found.loss.item()
        found, proposal = self._extrapolated(level), self._proposal
        if found is None:
            found = self._evaluate(proposal)
            self._previous = None
            while found.loss.item() > level:
                self._damping *= 2
                # The gradient and curvature are those of the point that was left.
                self._put(before, gradients)
                if self._damping > _MOST_DAMPING * self._least_damping:
                    self._proposal = None
                    return False
                proposal = self._propose()
                found = self._evaluate(proposal)
        else:
            self._previous = proposal
        self.found = found
        self._damping = max(self._least_damping, self._damping / 1.2)
        del before, gradients
        self._proposal = None
        return True

    def _extrapolated(self, level: float) -> Pass | None:
        """Moves on beyond the proposal in the direction from the last one.

        Returns None where the loss is higher there.
        """
        if self._previous is None:
            # Nothing to extrapolate from yet: the proposal itself, but kept for the next time.
            trial = [new.clone() for new in self._proposal]
        else:
            trial = self._previous
            for old, new in zip(trial, self._proposal, strict=True):
                old.mul_(-self._momentum).add_(new, alpha=1 + self._momentum).clamp_min_(0)
        extrapolated = self._previous is not None
        found = self._evaluate(trial)
        if found.loss.item() <= level:
            if extrapolated:
                self._momentum = min(self._ceiling, 1.05 * self._momentum, 0.95)
                self._ceiling = min(1.0, 1.01 * self._ceiling)
            return found
        if extrapolated:
            self._ceiling, self._momentum = self._momentum, self._momentum / 1.5
        return None

    def _put(self, values: Sequence[Tensor], gradients: Sequence[Tensor | None]) -> None:
        for theta, value, gradient in zip(self._trained, values, gradients, strict=True):
            theta.data, theta.grad = value, gradient

    def _evaluate(self, values: Sequence[Tensor]) -> Pass:
        self._put(values, [None] * len(values))
        self._network.settle()
        return self._network(self._products)

    def _propose(self) -> list[Tensor]:
        """The parameters after one damped step from where they stand."""
        if self._trained[0].grad is None:
            self.found.loss.backward()
        curvatures = self._network.curvatures(self.found)
        proposal = []
        for theta, (left, right) in zip(self._network.factors, curvatures, strict=True):
            if not theta.requires_grad:
                continue
            new = theta.detach().clone()
            if left is None:
                _descend_cells(new, theta.grad / 2, right * self._damping, self._threads)
            else:
                descend_matrix(
                    new.numpy(),
                    (theta.grad / 2).numpy(),
                    (left * self._damping).numpy(),
                    right.numpy(),
                    _SWEEPS,
                )
            proposal.append(new)
        return proposal


def _descend_cells(theta: Tensor, slope: Tensor, curvature: Tensor, threads: int) -> None:
    """Coordinate descent for every row of theta (N, k), in place.

    Shape: slope (N, k), curvature (k, k).
    """
    if theta.device.type == "cpu":
        own = curvature.to(theta.dtype).numpy()
        descend_rows(theta.numpy(), slope.numpy(), own, _SWEEPS, threads)
        return
    descend_columns(theta, slope, curvature.to(device=theta.device, dtype=theta.dtype), _SWEEPS)


class Projected:
    """Adam or plain gradient steps on the mean squared error, projected on Theta >= 0.

    Not monotone: the caller keeps the best. ``gd`` with lr 1 is the original program's way. With
    ``lr: auto``, adam's rate is 2 % of the mean entry of each Theta, and gd's is 1.
    """

    def __init__(
        self, network: NeuralNMF, products: Products, *, kind: str, lr: float | None
    ) -> None:
        self._network, self._products = network, products
        self._trained = [theta for theta in network.factors if theta.requires_grad]
        self._entries = float(products.shape[0]) * products.shape[1]
        if kind == "adam":
            groups = [
                {"params": [theta], "lr": lr or 0.02 * max(theta.detach().mean().item(), 1e-12)}
                for theta in self._trained
            ]
            self._steps: torch.optim.Optimizer = torch.optim.Adam(groups)
        else:
            self._steps = torch.optim.SGD(self._trained, lr=lr or 1.0)
        self.found = network(products)

    def epoch(self) -> bool:
        """One gradient step and its projection; always True."""
        self._steps.zero_grad()
        (self.found.loss / self._entries).backward()
        self._steps.step()
        with torch.no_grad():
            for theta in self._trained:
                theta.clamp_min_(0)
        self._network.settle()
        self.found = self._network(self._products)
        return True


def make_optimizer(
    kind: str,
    network: NeuralNMF,
    products: Products,
    *,
    lr: float | str = "auto",
    threads: int | None = None,
) -> Optimizer:
    """The optimiser of a config's name; ``lr`` of ``auto`` is a share of the full step."""
    rate = None if lr == "auto" else float(lr)
    if kind == "auto":
        return Auto(network, products, damping=1.0 / (rate or 1.0), threads=threads)
    return Projected(network, products, kind=kind, lr=rate)
