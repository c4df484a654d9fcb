"""One more layer of a model, from files to a file, by one process or by several."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from neuralNMF.consensus.fit import add_layer
from neuralNMF.io.dataset import Dataset
from neuralNMF.io.model import Model, load_model, save_model
from neuralNMF.io.model_parts import join_parts, save_part
from neuralNMF.io.team_folder import TeamFolder
from neuralNMF.options import LayerOptions
from neuralNMF.shards.ranges import open_range
from neuralNMF.team import ALONE, Team
from neuralNMF.training.checkpoints import Stop, checkpoint_of

# Columns of ``obs`` that a fit adds to those of the data set.
_ADDED = ("cell_scale",)


@dataclass(frozen=True)
class Job:
    """The fit of one more layer.

    Parameters
    ----------
    dataset : Path
        The data set.
    previous : Path or None
        The model that the layer is added to, None for the first layer.
    output : Path
        The model that is to be written.
    options : LayerOptions
        Of the new layer.
    layers : list of int or None
        Programs of each layer, where the data have chosen them: they count instead of
        ``options.rank``.
    reason : str or None
        Why they were chosen, for the model.
    checkpoint_minutes : float
        Between two states of the fit that are kept beside the model; 0 keeps none.
    """

    dataset: Path
    previous: Path | None
    output: Path
    options: LayerOptions
    layers: list[int] | None = None
    reason: str | None = None
    checkpoint_minutes: float = 0.0

    def plain(self) -> dict[str, Any]:
        """The job in JSON types."""
        paths = {name: getattr(self, name) for name in ("dataset", "previous", "output")}
        named = {name: None if path is None else str(path) for name, path in paths.items()}
        names = "layers", "reason", "checkpoint_minutes"
        more = {name: getattr(self, name) for name in names}
        return {**named, **more, "options": asdict(self.options)}

    @classmethod
    def of(cls, plain: dict[str, Any]) -> Job:
        """The job of `plain`."""
        before = plain["previous"]
        return cls(
            Path(plain["dataset"]),
            None if before is None else Path(before),
            Path(plain["output"]),
            LayerOptions(**plain["options"]),
            plain["layers"],
            plain["reason"],
            plain["checkpoint_minutes"],
        )


def fit_job(
    job: Job,
    team: Team = ALONE,
    folder: TeamFolder | None = None,
    stop: Stop | None = None,
) -> None:
    """Fit the layer and write the model.

    Parameters
    ----------
    job : Job
    team : Team
        The processes that do it, each of which calls this.
    folder : TeamFolder or None
        Where several processes put their parts.
    stop : Stop or None
        Says when this process is told to end; None keeps no state of the fit.

    Raises
    ------
    InputError, DeviceError, OutputError
        As `fit_layer` and `save_model`; the model is not written, or the old one is still there.
    """
    dataset = open_range(job.dataset, team, job.options.loss)
    before = None if job.previous is None else load_model(job.previous, _own_cells(dataset))
    options = job.options
    if job.layers is not None:
        options = replace(options, rank=job.layers[0 if before is None else len(before.layers)])
    checkpoint = checkpoint_of(job.output, job.checkpoint_minutes, stop, team)
    model = add_layer(dataset, before, options, progress=team.leads, checkpoint=checkpoint)
    if job.reason is not None:
        model.info["chosen_because"] = job.reason
    if folder is None:
        save_model(job.output, model)
    else:
        _save_together(job, model, team, folder)


def _own_cells(dataset: Dataset) -> slice | None:
    share = dataset.share
    return None if share is None else slice(share.first, share.first + dataset.shape[0])


def _save_together(job: Job, model: Model, team: Team, folder: TeamFolder) -> None:
    save_part(folder.part(team.rank), model, _ADDED)
    team.gathered(None)  # all parts are there
    if team.leads:
        parts = [folder.part(rank) for rank in range(team.size)]
        join_parts(job.output, parts, model, job.dataset)
    team.gathered(None)  # none leaves before the model is there
