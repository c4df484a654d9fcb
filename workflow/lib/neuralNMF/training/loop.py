"""The training loop: epochs until the loss has settled, the best kept, the history as data."""

from __future__ import annotations

import enum
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from torch import Tensor

from neuralNMF.errors import NeuralNMFError
from neuralNMF.progress import bar

_log = logging.getLogger(__name__)
_LOG_EVERY = 10


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


class Optimizer(Protocol):
    """A way to lower the loss of a network."""

    @property
    def found(self) -> Evaluation:
        """The network's last evaluation, at the parameters as they stand."""

    def epoch(self) -> bool:
        """Run one epoch; return False where no step lowers the loss any further."""


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

    Returns
    -------
    Training
        The record.

    Raises
    ------
    NeuralNMFError
        Where the loss is not finite.
    """
    result = Training(Status.LIMIT)
    best: list[Tensor] = []
    lows: list[float] = []
    with bar(name, "epoch", epochs, shown=progress) as drawn:
        for epoch in range(epochs + 1):
            if epoch > 0:
                if not optimizer.epoch():
                    result.status = Status.MINIMUM
                    break
                drawn.update()
            loss, mse = _figures(optimizer.found, entries, name, epoch)
            result.loss.append(loss)
            result.mse.append(mse)
            if keep_best and (not lows or loss < lows[-1]):
                best = [theta.detach().clone() for theta in network.factors]
            lows.append(min(loss, lows[-1]) if lows else loss)
            error = f", mse {mse:.8g}" if math.isfinite(mse) else ""
            drawn.set_postfix_str(f"loss {loss:.6g}{error}", refresh=False)
            if name and epoch % _LOG_EVERY == 0:
                _log.info("%s epoch %d: loss %.8g%s", name, epoch, loss, error)
            if epoch >= patience and lows[-1 - patience] - lows[-1] <= tol * lows[-1 - patience]:
                result.status = Status.CONVERGED
                break
    for theta, kept in zip(network.factors, best, strict=False):
        theta.data = kept
    if name:
        _log.info("%s: %s (%d epochs)", name, result.status.value, len(result.loss) - 1)
    return result


def _figures(evaluated: Evaluation, entries: float, name: str, epoch: int) -> tuple[float, float]:
    """The loss and the squared error an entry of X; NaN for an error that is not known."""
    loss = evaluated.loss.item() / entries
    error = evaluated.error
    mse = math.nan if error is None else error.item() / entries
    if not math.isfinite(loss):
        raise NeuralNMFError(
            f"the loss of {name} is {loss} at epoch {epoch}: lower 'lr', or take 'optimizer: auto'."
        )
    return loss, mse
