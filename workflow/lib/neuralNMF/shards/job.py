"""What several processes do together, from files to files; here, one more layer of a model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from pathlib import Path

from neuralNMF.consensus.fit import add_layer
from neuralNMF.io.dataset import Dataset
from neuralNMF.io.model import Model, load_model, save_model
from neuralNMF.io.model_parts import join_parts, save_part
from neuralNMF.io.team_folder import TeamFolder
from neuralNMF.options import LayerOptions
from neuralNMF.shards.ranges import open_range
from neuralNMF.team import ALONE, Team
from neuralNMF.training.checkpoints import Stop, checkpoint_of, remove_checkpoint

# Columns of ``obs`` that a fit adds to those of the data set.
_ADDED = ("cell_scale",)


@dataclass(frozen=True)
class Hands:
    """Who does a job; by default this process alone, which keeps no state of it.

    Parameters
    ----------
    team : Team
        The processes that do it together.
    folder : TeamFolder or None
        Where several processes put their parts.
    stop : Stop or None
        Says when this process is told to end; None keeps no state of the work.
    """

    team: Team = ALONE
    folder: TeamFolder | None = None
    stop: Stop | None = None


@dataclass(frozen=True, kw_only=True)
class Job(ABC):
    """Work on a data set, by one process or by several; it can be pickled.

    Parameters
    ----------
    dataset : Path
        The data set.
    output : Path
        What is to be written.
    options : LayerOptions
    """

    dataset: Path
    output: Path
    options: LayerOptions

    @property
    def keeps_states(self) -> bool:
        """Whether it keeps states of its work, from which it goes on after an interruption."""
        return False

    @abstractmethod
    def work(self, hands: Hands) -> None:
        """Do it; of several processes each calls this.

        Raises
        ------
        InputError, DeviceError, OutputError
            As what it is made of; what was written before is still there.
        """

    def clear(self) -> None:  # noqa: B027 - most keep nothing
        """Remove what it kept while it ran, once all is done."""


@dataclass(frozen=True, kw_only=True)
class FitJob(Job):
    """The fit of one more layer, whose ``output`` is the model.

    Parameters
    ----------
    previous : Path or None
        The model that the layer is added to, None for the first layer.
    layers : list of int or None
        Programs of each layer, where the data have chosen them: they count instead of
        ``options.rank``.
    reason : str or None
        Why they were chosen, for the model.
    checkpoint_minutes : float
        Between two states of the fit that are kept beside the model; 0 keeps none.
    """

    previous: Path | None = None
    layers: list[int] | None = None
    reason: str | None = None
    checkpoint_minutes: float = 0.0

    @property
    def keeps_states(self) -> bool:
        """See `Job.keeps_states`."""
        return self.checkpoint_minutes > 0

    def work(self, hands: Hands) -> None:
        """See `Job.work`."""
        team, folder = hands.team, hands.folder
        dataset = open_range(self.dataset, team, self.options.loss)
        before = None
        if self.previous is not None:
            before = load_model(self.previous, _own_cells(dataset))
        options = self.options
        if self.layers is not None:
            options = replace(
                options, rank=self.layers[0 if before is None else len(before.layers)]
            )
        checkpoint = checkpoint_of(self.output, self.checkpoint_minutes, hands.stop, team)
        model = add_layer(dataset, before, options, progress=team.leads, checkpoint=checkpoint)
        if self.reason is not None:
            model.info["chosen_because"] = self.reason
        if folder is None:
            save_model(self.output, model)
        else:
            self._save_together(model, team, folder)

    def clear(self) -> None:
        """See `Job.clear`."""
        remove_checkpoint(self.output)

    def _save_together(self, model: Model, team: Team, folder: TeamFolder) -> None:
        save_part(folder.part(team.rank), model, _ADDED)
        team.gathered(None)  # all parts are there
        if team.leads:
            parts = [folder.part(rank) for rank in range(team.size)]
            join_parts(self.output, parts, model, self.dataset)
        team.gathered(None)  # none leaves before the model is there


def _own_cells(dataset: Dataset) -> slice | None:
    share = dataset.share
    return None if share is None else slice(share.first, share.first + dataset.shape[0])
