"""The optimizer of least squares (``auto``): monotone, and without a step size to choose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from neuralNMF.cells.block import Move, Sums
from neuralNMF.cells.products import Products
from neuralNMF.kernels.descent import descend_matrix
from neuralNMF.least_squares.learned import LearnedNMF
from neuralNMF.least_squares.network import NeuralNMF, Pass
from neuralNMF.solvers.descent import beyond, descend
from neuralNMF.solvers.extrapolation import Extrapolation
from neuralNMF.training.gradients import gradient_of
from neuralNMF.training.loop import Optimizer, copied_into, within_rounding
from neuralNMF.training.projected import Projected

# Passes over the coordinates for one gradient: cheap beside the gradient, and each brings the step
# nearer to Newton's.
_SWEEPS = 4
_MOST_DAMPING = 2.0**24


@dataclass
class _Model:
    """Quadratic models of the halved loss around the parameters, one for each trained factor.

    Parameters
    ----------
    slopes : dict of int to Tensor
        The gradient of each factor, by its number among those trained. Theta_1 has none.
    curvatures : list of (Tensor or None, Tensor)
        See `NeuralNMF.curvatures`.
    of_sums : (Tensor, Tensor) or None
        What the gradient of Theta_1 follows from: the gradients dG + dG^T (k_1, k_1) and dB^T
        (M, k_1) by the sums over cells; None where Theta_1 is not trained.
    """

    slopes: dict[int, Tensor]
    curvatures: list[tuple[Tensor | None, Tensor]]
    of_sums: tuple[Tensor, Tensor] | None


class Auto:
    """Accelerated projected Newton-type steps: monotone, and without a step size to choose.

    Holds at most three copies of Theta_1.

    Parameters
    ----------
    network : NeuralNMF or LearnedNMF
    products : Products
        With X'.
    damping : float, default 1
        What the curvature is multiplied by at first, and at least: 1 / lr.
    sums : Sums, optional
        Of Theta_1, where they are known already.

    Attributes
    ----------
    found : Pass
        The network's last evaluation, at the parameters as they stand.

    Notes
    -----
    The gradient is the network's own, by autograd. Each Theta then goes to (nearly) the minimum
    over Theta >= 0 of the quadratic model with that gradient and the curvature that the loss has
    with beta held, by coordinate descent. For one layer, the model lies above the loss and the step
    is that of HALS (Cichocki & Phan 2009); for several, it may not, and the curvature is raised
    until the loss falls. Steps are extrapolated and the extrapolation taken back where it fails,
    with the factors of Ang & Gillis (2019, Neural Computation 31(2)).

    A cell's gradient and step need that cell alone, so one pass over X' takes the gradient by
    Theta_1, moves it, and takes the sums that the loss at the moved Theta_1 is made of
    (`Products.move`): one pass an epoch, two after a failed extrapolation, none where Theta_1 is
    held.
    """

    def __init__(
        self,
        network: NeuralNMF | LearnedNMF,
        products: Products,
        *,
        damping: float = 1.0,
        sums: Sums | None = None,
    ) -> None:
        self._network, self._products = network, products
        self._trained = [factor for factor in network.factors if factor.requires_grad]
        self._moves_cells = network.thetas[0].requires_grad
        self._least_damping = self._damping = damping
        self._extrapolation = Extrapolation.linear()
        self._last: list[Tensor] | None = None
        self._model: _Model | None = None
        self._half = torch.tensor(0.5, dtype=torch.float64)
        self._sums = products.sums(network.thetas[0].detach()) if sums is None else sums
        self._memory: dict[str, Any] = {}
        self.found = self._evaluate([factor.data for factor in self._trained], self._sums)

    def epoch(self) -> bool:
        """Take one step that does not raise the loss; return False where there is none."""
        level = self.found.loss.item()
        before = [factor.data for factor in self._trained]
        if self._model is None:
            self._model = self._around()
        model = self._model
        last, self._last = self._last, None
        extrapolated = last is not None
        proposal, trial, sums = self._step(model, before, last)
        evaluated = self._evaluate(trial, sums)
        if evaluated.loss.item() <= level:
            self._last = proposal
            if extrapolated:
                self._extrapolation.grow()
        elif extrapolated:
            self._extrapolation.retreat()
            if self._moves_cells:
                sums = self._products.sums(proposal[0])
            evaluated = self._evaluate(proposal, sums)
        # A trial lies where the last proposal did: let go of it before another is made.
        del last, proposal, trial
        while (loss := evaluated.loss.item()) > level:
            self._damping *= 2
            too_short = self._damping > _MOST_DAMPING * self._least_damping
            # With Theta_1 held a step costs no pass over the cells, and may be tried on.
            lost = self._moves_cells and within_rounding(loss, level, before[0].dtype)
            if too_short or lost:
                self._put(before)
                return False
            _, trial, sums = self._step(model, before, None)
            evaluated = self._evaluate(trial, sums)
        self.found, self._sums, self._model = evaluated, sums, None
        self._damping = max(self._least_damping, self._damping / 1.2)
        return True

    def state(self) -> dict[str, Any]:
        """See `training.loop.Optimizer`."""
        return {
            "factors": [factor.detach() for factor in self._network.factors],
            "last": self._last,
            "sums": [self._sums.gram.detach(), self._sums.cross.detach()],
            "damping": self._damping,
            "extrapolation": asdict(self._extrapolation),
            "memory": self._memory,
        }

    def resume(self, state: dict[str, Any]) -> None:
        """See `training.loop.Optimizer`."""
        copied_into(self._network.factors, state["factors"])
        self._last = None
        if state["last"] is not None:
            pairs = zip(state["last"], self._trained, strict=True)
            self._last = [torch.from_numpy(value).to(factor.device) for value, factor in pairs]
        if self._moves_cells:  # those of a held Theta_1 are known, and so is what follows from them
            self._sums = Sums(*map(torch.from_numpy, state["sums"]))
        self._damping = state["damping"]
        self._extrapolation = Extrapolation(**state["extrapolation"])
        self._model = None
        self._network.recall(state["memory"])
        self.found = self._measured(self._sums)

    def _around(self) -> _Model:
        # Not by an argument of `backward`, for which torch imports SymPy: a second a process.
        (self.found.loss * self._half).backward()
        slopes = {
            number: gradient_of(factor)
            for number, factor in enumerate(self._trained)
            if number > 0 or not self._moves_cells
        }
        curvatures = [
            curvature
            for factor, curvature in zip(
                self._network.factors, self._network.curvatures(self.found), strict=True
            )
            if factor.requires_grad
        ]
        if not self._moves_cells:
            return _Model(slopes, curvatures, None)
        by_gram = gradient_of(self._sums.gram)
        return _Model(slopes, curvatures, (by_gram + by_gram.T, gradient_of(self._sums.cross)))

    def _step(
        self, model: _Model, values: list[Tensor], last: list[Tensor] | None
    ) -> tuple[list[Tensor], list[Tensor], Sums]:
        """(proposal, trial beyond it, sums of the trial), from ``values`` and the last proposal.

        The trial lies in the place of the last proposal; without one it is the proposal, copied.
        """
        proposal, trial, sums = [], [], self._sums
        for number, value in enumerate(values):
            left, right = model.curvatures[number]
            old = None if last is None else last[number]
            if number == 0 and model.of_sums is not None:
                by_gram, by_cross = model.of_sums
                curvature = right * self._damping
                bend = by_gram - curvature
                move = Move(by_cross, bend, curvature, self._extrapolation.rate, _SWEEPS)
                new, further, sums = self._products.move(move, value, old)
            else:
                new = self._lowered(value, model.slopes[number], left, right)
                further = new.clone() if old is None else beyond(old, new, self._extrapolation.rate)
            proposal.append(new)
            trial.append(further)
        return proposal, trial, sums

    def _lowered(self, value: Tensor, slope: Tensor, left: Tensor | None, right: Tensor) -> Tensor:
        """The minimum, nearly, of a small factor's model."""
        new = value.clone()
        if left is None:
            curvature = right * self._damping
            descend(new, slope - value @ curvature, curvature, _SWEEPS, self._products.threads)
        else:
            damped = (left * self._damping).numpy()
            descend_matrix(new.numpy(), slope.numpy(), damped, right.numpy(), _SWEEPS)
        return new

    def _put(self, values: Sequence[Tensor]) -> None:
        for factor, value in zip(self._trained, values, strict=True):
            factor.data, factor.grad = value, None

    def _evaluate(self, values: Sequence[Tensor], sums: Sums) -> Pass:
        self._put(values)
        self._network.settle(sums)
        return self._measured(sums)

    def _measured(self, sums: Sums) -> Pass:
        self._memory = self._network.memory()
        gram = sums.gram.requires_grad_(self._moves_cells)
        cross = sums.cross.requires_grad_(self._moves_cells)
        return self._network.evaluate(gram, cross, self._products.square_sum)


def make_optimizer(
    kind: str, network: NeuralNMF | LearnedNMF, products: Products, *, lr: float | str = "auto"
) -> Optimizer:
    """The optimizer that goes by a name in the config.

    Parameters
    ----------
    kind : {"auto", "adam", "gd"}
    network : NeuralNMF or LearnedNMF
        To be trained.
    products : Products
        With X', which it is trained on.
    lr : float or "auto"
        For ``auto`` the share of the full step that is taken; for the others see
        `training.projected.Projected`.

    Returns
    -------
    Optimizer
    """
    if kind == "auto":
        return Auto(network, products, damping=1.0 if lr == "auto" else 1.0 / float(lr))
    return Projected(network, products, kind=kind, lr=lr)
