"""The training loop: epochs until the loss has settled, the best kept, the history as data."""

from __future__ import annotations

import enum
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from neuralNMF.errors import FitError
from neuralNMF.progress import bar
from neuralNMF.training.checkpoints import NOTHING_KEPT, Checkpoint

_log = logging.getLogger(__name__)
_LOG_EVERY = 10
# What the loss of a million cells was off by, in units of single precision: 0.003 to 0.1. That of
# fewer cells is off by more, but there a pass costs little.
_ROUNDINGS = 0.25


class Status(enum.Enum):
    """Why training ended."""

    CONVERGED = "converged: the loss has settled within the tolerance"
    LIMIT = "stopped at the limit of epochs before the loss had settled: raise 'epochs', or 'tol'"
    MINIMUM = "converged: none of the steps tried lowers the loss any further"


class Evaluation(Protocol):
    """The values of a network's losses at one point of its parameters."""

    @property
    def loss(self) -> Tensor:
        """The loss that training lowers: a scalar, summed over X."""

    @property
    def error(self) -> Tensor | None:
        """Sum of squares of X' - Theta_1 ... beta_L, a scalar; None where it is not known."""


class Network(Protocol):
    """A model as training sees it: factors, some of which training may change."""

    @property
    def factors(self) -> Sequence[Tensor]:
        """All parameters that training may change."""

    def memory(self) -> dict[str, Any]:
        """What the next evaluation begins from, beside the factors: tensors and plain types."""

    def recall(self, memory: dict[str, Any]) -> None:
        """Let the next evaluation begin from what `memory` gave, with arrays for tensors."""


class Optimizer(Protocol):
    """A way to lower the loss of a network."""

    @property
    def found(self) -> Evaluation:
        """The network's last evaluation, at the parameters as they stand."""

    def epoch(self) -> bool:
        """Run one epoch; return False where no step lowers the loss any further."""

    def state(self) -> dict[str, Any]:
        """All that the next epoch depends on, the factors included: tensors and plain types."""

    def resume(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave, with arrays for tensors, to the same bytes."""


@dataclass
class Training:
    """The record of a training.

    Parameters
    ----------
    status : Status
    loss, mse : list of float
        Per entry of X, before the first epoch and after each; mse is NaN where it is not known.
    """

    status: Status
    loss: list[float] = field(default_factory=list)
    mse: list[float] = field(default_factory=list)

    @property
    def epochs(self) -> int:
        """Epochs that were run."""
        return len(self.loss) - 1


def joined(trainings: Sequence[Training]) -> Training:
    """One record of several trainings of a layer that followed each other."""
    return Training(
        trainings[-1].status,
        [loss for training in trainings for loss in training.loss],
        [mse for training in trainings for mse in training.mse],
    )


def train(
    network: Network,
    optimizer: Optimizer,
    entries: float,
    *,
    epochs: int,
    tol: float,
    patience: int,
    keep_best: bool = True,
    name: str = "",
    progress: bool = False,
    checkpoint: Checkpoint = NOTHING_KEPT,
) -> Training:
    """Run up to ``epochs`` epochs; leave the network at the best point that was seen.

    Ends early once the best loss fell by less than ``tol`` of itself over ``patience`` epochs.

    Parameters
    ----------
    network : Network
    optimizer : Optimizer
        Trains this network.
    entries : float
        N x M, the number that losses are divided by.
    epochs : int
        The limit.
    tol : float
        See above: a share of the loss.
    patience : int
        See above: a number of epochs.
    keep_best : bool
        Needed for an optimizer that may go up; costs a copy of the parameters.
    name : str
        For the log and the progress bar; with none, nothing is logged.
    progress : bool
        Whether to show a progress bar.
    checkpoint : Checkpoint
        Is told of every epoch; training that it kept is gone on with.

    Returns
    -------
    Training
        The record.

    Raises
    ------
    FitError
        Where the loss is not finite.
    """
    result, best = Training(Status.LIMIT), list[Tensor]()

    def look(drawn: Any) -> None:
        loss, mse = _figures(optimizer.found, entries, name, len(result.loss))
        if keep_best and loss < min(result.loss, default=math.inf):
            best[:] = [theta.detach().clone() for theta in network.factors]
        result.loss.append(loss)
        result.mse.append(mse)
        error = f", mse {mse:.8g}" if math.isfinite(mse) else ""
        drawn.set_postfix_str(f"loss {loss:.6g}{error}", refresh=False)
        if name and result.epochs % _LOG_EVERY == 0:
            _log.info("%s epoch %d: loss %.8g%s", name, result.epochs, loss, error)

    def state() -> dict[str, Any]:
        return {
            "optimizer": optimizer.state(),
            "best": best,
            "loss": result.loss,
            "mse": result.mse,
        }

    with bar(name, "epoch", epochs, shown=progress) as drawn, checkpoint.running():
        kept = checkpoint.training()
        if kept is None:
            look(drawn)
        else:
            optimizer.resume(kept["optimizer"])
            best = [torch.from_numpy(value) for value in kept["best"]]
            result.loss, result.mse = kept["loss"], kept["mse"]
            drawn.update(result.epochs)
            _log.info("%s goes on after epoch %d.", name, result.epochs)
        while True:
            if epochs > 0:
                checkpoint.after_epoch(f"epoch {result.epochs} of {name}", state)
            if _ended(result, epochs, tol, patience):
                break
            if not optimizer.epoch():
                result.status = Status.MINIMUM
                break
            drawn.update()
            look(drawn)
    if best:
        copied_into(network.factors, best)
    if name:
        _log.info("%s: %s (%d epochs)", name, result.status.value, result.epochs)
    return result


def without_rounding(loss: float) -> float:
    """A sum of squares or a deviance. Of an exact fit it is below zero by rounding: then, zero."""
    return 0.0 if loss < 0 else loss


def within_rounding(loss: float, level: float, dtype: torch.dtype) -> bool:
    """Whether a loss is above an earlier one by no more than rounding can bring about.

    Shorter steps in the same direction then say nothing: each costs a pass over the cells and ends
    as much above or below by chance.

    Parameters
    ----------
    loss, level : float
        Now and before.
    dtype : torch.dtype
        Of the factors that were moved.
    """
    return loss - level <= _ROUNDINGS * torch.finfo(dtype).eps * abs(level)


def copied_into(factors: Sequence[Tensor], values: Sequence[np.ndarray | Tensor]) -> None:
    """Give factors other values, on the device that each lies on."""
    for factor, value in zip(factors, values, strict=True):
        factor.data = torch.as_tensor(value).to(factor.device)


def _ended(result: Training, epochs: int, tol: float, patience: int) -> bool:
    """Whether training has settled, and so its status says, or has come to its limit."""
    if result.epochs >= patience:
        before, now = min(result.loss[:-patience]), min(result.loss)
        if before - now <= tol * before:
            result.status = Status.CONVERGED
    return result.status is Status.CONVERGED or result.epochs >= epochs


def _figures(evaluated: Evaluation, entries: float, name: str, epoch: int) -> tuple[float, float]:
    """The loss and the squared error an entry of X; NaN for an error that is not known."""
    loss = without_rounding(evaluated.loss.item()) / entries
    error = evaluated.error
    mse = math.nan if error is None else without_rounding(error.item()) / entries
    if not math.isfinite(loss):
        raise FitError(
            f"the loss of {name} is {loss} at epoch {epoch}: with 'optimizer: adam' or 'gd' lower "
            "'lr' or take 'auto'; where counts are very large, take 'precision: float64'."
        )
    return loss, mse
