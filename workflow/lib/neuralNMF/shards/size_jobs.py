"""Trials of sizes and the choice among them, from files to files, by one process or by several."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from neuralNMF.io.choice import save_layers
from neuralNMF.io.tables import read_tables, write_table
from neuralNMF.shards.job import Hands, Job
from neuralNMF.shards.ranges import open_range
from neuralNMF.sizes.choose import choose_layers
from neuralNMF.sizes.trial import Trials
from neuralNMF.team import Team


@dataclass(frozen=True, kw_only=True)
class SizeJob(Job):
    """The trial of one size of the first layer, whose ``output`` is a table of one row.

    Parameters
    ----------
    size : int
    """

    size: int

    def work(self, hands: Hands) -> None:
        """See `Job.work`; it keeps no state."""
        table = _trials(self, hands.team).first_layers([self.size])
        if hands.team.leads:
            write_table(table, self.output)
        hands.team.gathered(None)  # none leaves before it is there


@dataclass(frozen=True, kw_only=True)
class LayersJob(Job):
    """The choice of all layers, whose ``output`` is the table of all that was tried.

    Parameters
    ----------
    tried : list of Path
        The tables of first layers.
    chosen : Path
        Where the layers with the reason are to lie.
    lists : list of list of int or None
        The models to choose among; None for any.
    """

    tried: list[Path]
    chosen: Path
    lists: list[list[int]] | None = None

    def work(self, hands: Hands) -> None:
        """See `Job.work`; it keeps no state."""
        tried = read_tables(self.tried)
        choice = choose_layers(_trials(self, hands.team), tried, lists=self.lists)
        if hands.team.leads:
            write_table(choice.tried, self.output)
            save_layers(self.chosen, choice.layers, choice.reason)
        hands.team.gathered(None)  # none leaves before they are there


def _trials(job: Job, team: Team) -> Trials:
    dataset = open_range(job.dataset, team, job.options.loss)
    return Trials(dataset, job.options, progress=team.leads)
