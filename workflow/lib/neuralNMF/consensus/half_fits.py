"""Fits of random halves of the cells: what a consensus is made of."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import scipy.sparse as sp

from neuralNMF.batches.factors import Batches
from neuralNMF.consensus.parts import cells_of, halves, model_of_cells
from neuralNMF.consensus.replication import Found
from neuralNMF.fit import fit_layer
from neuralNMF.io.dataset import Dataset
from neuralNMF.io.model import Model
from neuralNMF.options import LayerOptions
from neuralNMF.progress import bar
from neuralNMF.projection.programs import held_programs
from neuralNMF.threads import threads_of_a_fit
from neuralNMF.training.checkpoints import NOTHING_KEPT, Checkpoint

_log = logging.getLogger(__name__)

SPLITS = 3
# Further fits of one half, from other starts.
_RESTARTS = 2
# Between the seeds of the fits, so that those of two runs with neighbouring seeds differ.
_STRIDE = 1_000_003
# Fits are compared by their usage of so many cells at the most.
_COMPARED_CELLS = 10_000


@dataclass(frozen=True)
class Probe:
    """The cells that fits are compared on.

    Attributes
    ----------
    counts : csr_matrix, (n, M)
    obs : DataFrame
        Theirs.
    """

    counts: sp.csr_matrix
    obs: pd.DataFrame

    def layers(self, model: Model, options: LayerOptions) -> list[tuple[np.ndarray, np.ndarray]]:
        """Of every layer of a model, the usage of these cells (n, k) and the programs (k, M)."""
        with threads_of_a_fit(options.threads) as threads:
            held = held_programs(model, threads=threads)
            usage = held.usage(held.prepared(self.counts, self.obs)).theta
        layers = []
        scale = model.var["gene_scale"].to_numpy()
        for number, beta in enumerate(model.betas):
            usage = usage if number == 0 else usage @ model.thetas[number]
            layers.append((usage, beta / scale))
        return layers


def compared_cells(dataset: Dataset, rng: np.random.Generator) -> Probe:
    """Draw the cells that fits are compared on, all where they are few."""
    chosen = np.sort(rng.permutation(dataset.all_cells)[:_COMPARED_CELLS])
    compared = cells_of(dataset, chosen)
    return Probe(compared.rows(0, chosen.size), compared.obs)


Pairs = list[tuple[list[Found], list[Found]]]


def fits_of_halves(
    dataset: Dataset,
    previous: Model | None,
    options: LayerOptions,
    batches: Batches | None,
    probe: Probe,
    rng: np.random.Generator,
    progress: bool,
    checkpoint: Checkpoint,
) -> tuple[Pairs, Pairs]:
    """Fits of both halves of every split; and of the first half from other starts, in pairs.

    Of several processes each makes some of these fits, by itself.
    """
    splits = halves(dataset.all_cells, SPLITS, rng)
    # A half has half of a program's cells. It is held in memory, also where all cells are streamed:
    # a smaller one would give another result.
    options = replace(options, min_support=options.min_support / 2, data_mem_size=None)
    team = dataset.team
    tasks = [
        _Half(cells, split, f"half_{split}{name}")
        for split, pair in enumerate(splits, start=1)
        for name, cells in zip("ab", pair, strict=True)
    ]
    again = range(SPLITS + 1, SPLITS + 1 + _RESTARTS)
    tasks += [_Half(splits[0][0], number, f"half_{number}a") for number in again]
    found: list[list[Found]] = []
    with bar("halves of the cells", "fit", len(tasks), shown=progress) as fits:
        for first in range(0, len(tasks), team.size):
            turn = tasks[first : first + team.size]
            layers = _own_fit(turn, dataset, previous, options, batches, probe, checkpoint)
            own = [Found(usage, programs) for usage, programs in layers]
            found += team.gathered(own)[: len(turn)]
            fits.update(len(turn))
    pairs = list(zip(found[: 2 * SPLITS : 2], found[1 : 2 * SPLITS : 2], strict=True))
    return pairs, [(found[0], other) for other in found[2 * SPLITS :]]


@dataclass(frozen=True)
class _Half:
    """A fit of a half of the cells: which cells, what its seed is made of, and its name."""

    cells: np.ndarray
    number: int
    name: str


def _own_fit(
    turn: list[_Half],
    dataset: Dataset,
    previous: Model | None,
    options: LayerOptions,
    batches: Batches | None,
    probe: Probe,
    checkpoint: Checkpoint,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """The layers of that fit of a turn that this process makes, by itself, of the probe's cells.

    None, where fewer fits are left than there are processes. What the checkpoint has of an earlier
    start is not fitted again.
    """
    team = dataset.team
    has_one = team.rank < len(turn)
    kept = checkpoint.part(turn[team.rank].name) if has_one else NOTHING_KEPT
    result = kept.result()
    if any(team.gathered(has_one and result is None)):
        # Every process has the cells of all of these fits for a moment, and keeps its own.
        parts = (_part(dataset, previous, half.cells) for half in turn)
        mine = [part for rank, part in enumerate(parts) if rank == team.rank]
        with team.failing_together():
            if mine and result is None:
                own = replace(options, seed=options.seed + _STRIDE * turn[team.rank].number)
                fit = _fit_of_half(*mine[0], own, batches, kept)
                result = kept.done({"layers": probe.layers(fit, options)})
    return [] if result is None else result["layers"]


def _fit_of_half(
    half: Dataset,
    before: Model | None,
    options: LayerOptions,
    batches: Batches | None,
    checkpoint: Checkpoint,
) -> Model:
    """The fit of a half of the cells; its usage is asked for of the probe's cells alone."""
    _log.info("a half of the cells, %d of them, seed %d", half.shape[0], options.seed)
    return fit_layer(
        half,
        before,
        options,
        batches=batches,
        progress=False,
        warn=False,
        exact_usage=False,
        checkpoint=checkpoint,
    )


def _part(
    dataset: Dataset, previous: Model | None, cells: np.ndarray
) -> tuple[Dataset, Model | None]:
    """Some cells of the data set and of the model that a layer is added to."""
    before = None if previous is None else model_of_cells(previous, dataset, cells)
    return cells_of(dataset, cells), before
