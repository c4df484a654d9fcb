"""The context of one layer's fit: its data, options, place and random numbers, for all steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from neuralNMF.batches.factors import Batches
from neuralNMF.cells.place import Place
from neuralNMF.evidence.support import layer_supports
from neuralNMF.io.dataset import Dataset
from neuralNMF.io.model import Model
from neuralNMF.options import LayerOptions
from neuralNMF.training.checkpoints import NOTHING_KEPT, Checkpoint
from neuralNMF.training.loop import Network, Optimizer, Training, train
from neuralNMF.training.stage import Stage, Start


@dataclass(frozen=True)
class FitContext:
    """Everything that the steps of one layer's fit share.

    Parameters
    ----------
    dataset : Dataset
        N cells, M genes: all, or the range of them that this process holds.
    previous : Model or None
        The model that the layer is added to, with the same cells; None for the first layer.
    options : LayerOptions
    place : Place
        Where the cells' side is computed, and by how many threads.
    generator : torch.Generator
        The only source of random numbers.
    progress : bool
        Whether to show progress bars.
    programs : ndarray or None, shape (k, M)
        What the new layer starts from, in counts (before the genes' factors); None finds a start.
    batches : Batches or None
        The factors of the cells' batches; None where there are none.
    exact_usage : bool
        Whether the fit ends with the usage at its minimum for the programs.
    checkpoint : Checkpoint
        Is told where the fit stands, and knows where an interrupted one stood.
    """

    dataset: Dataset
    previous: Model | None
    options: LayerOptions
    place: Place
    generator: torch.Generator
    progress: bool
    programs: np.ndarray | None = None
    batches: Batches | None = None
    exact_usage: bool = True
    checkpoint: Checkpoint = NOTHING_KEPT

    @property
    def depth(self) -> int:
        """The number of layers once this one has been added."""
        return 1 if self.previous is None else len(self.previous.thetas) + 1

    @property
    def rank(self) -> int:
        """Programs of the new layer: as asked for, but fewer than the layer before has kept."""
        if self.programs is not None:
            return len(self.programs)
        if self.previous is None:
            return self.options.rank
        return max(1, min(self.options.rank, self.previous.thetas[-1].shape[1] - 1))

    def supports(self) -> list[np.ndarray]:
        """The supports (k_l,) of the programs of the earlier layers, where they matter."""
        if self.previous is None or self.options.min_support <= 0:
            return [np.zeros(k) for k in ([] if self.previous is None else self.previous.layers)]
        return layer_supports(self.previous.thetas, team=self.dataset.team)

    def begun(self, start: Callable[[], Start]) -> Stage:
        """What training begins from: where the fit was interrupted, or else at its ``start``."""
        kept = self.checkpoint.stage()
        if kept is None:
            found = start()
            newest = np.zeros(found.thetas[-1].shape[1])
            return Stage(found, self.options.joint, [*self.supports(), newest])
        self.generator.set_state(torch.from_numpy(kept["generator"]))
        return Stage.of_plain(kept, self.place.device)

    def enter(self, stage: Stage) -> None:
        """Tell the checkpoint that the training of a stage begins."""
        self.checkpoint.begin(
            stage.number, lambda: stage.plain() | {"generator": self.generator.get_state()}
        )

    def train(self, network: Network, optimizer: Optimizer, epochs: int) -> Training:
        """Train all layers together, with the limits that the options set.

        Parameters
        ----------
        network : Network
        optimizer : Optimizer
        epochs : int
            At the most.

        Returns
        -------
        Training
            The record.
        """
        options, dataset = self.options, self.dataset
        return train(
            network,
            optimizer,
            float(dataset.all_cells) * dataset.shape[1],
            epochs=epochs,
            tol=options.tol,
            patience=options.patience,
            keep_best=options.optimizer != "auto",
            name=f"layer {self.depth}",
            progress=self.progress,
            checkpoint=self.checkpoint,
        )
