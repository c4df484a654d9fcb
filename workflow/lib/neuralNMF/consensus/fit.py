"""The fit of a layer by consensus: the programs that fits of random halves of the cells share."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import numpy as np

from neuralNMF.batches.factors import Batches
from neuralNMF.consensus.gain import held_out_gains
from neuralNMF.consensus.groups import grouped
from neuralNMF.consensus.half_fits import compared_cells, fits_of_halves
from neuralNMF.consensus.replication import REPLICATED, Found, replication_table
from neuralNMF.fit import fit_layer, versions
from neuralNMF.io.dataset import Dataset
from neuralNMF.io.model import Model
from neuralNMF.least_squares.batch_factors import learn_batches
from neuralNMF.options import COARSER, LayerOptions
from neuralNMF.threads import threads_of_a_fit
from neuralNMF.training.checkpoints import NOTHING_KEPT, Checkpoint

_log = logging.getLogger(__name__)

# With fewer cells than this, halves of them say nothing.
_FEWEST_CELLS, _CELLS_A_PROGRAM = 200, 4


def add_layer(
    dataset: Dataset,
    previous: Model | None,
    options: LayerOptions,
    *,
    batches: Batches | None = None,
    gains: bool = True,
    progress: bool = True,
    checkpoint: Checkpoint = NOTHING_KEPT,
) -> Model:
    """Add a layer of programs to a model: by one fit, or by the consensus of several.

    With ``options.consensus``, the cells are split into two random halves three times, and the
    layer is fitted to each half. The programs that most of these fits have are what the layer of
    all cells starts from, so it has as many programs as were found again, at most the options'
    rank.

    Parameters
    ----------
    dataset, previous, options, batches, progress
        As for `fit_layer`.
    gains : bool
        Whether the programs' held-out gains are measured too, where halves are looked at.
    checkpoint : Checkpoint
        Keeps the state of the fits while they run; what it kept of the same fits that were
        interrupted is gone on with. Whoever saves the model removes it.

    Returns
    -------
    Model
        As `fit_layer` gives it; with `Model.replication` where halves were looked at.

    Raises
    ------
    InputError, DeviceError
        As `fit_layer`.
    """
    checkpoint.belongs_to(lambda: fit_key(dataset, previous, options))
    if not options.consensus:
        return fit_layer(
            dataset, previous, options, batches=batches, progress=progress, checkpoint=checkpoint
        )
    depth = 1 if previous is None else len(previous.thetas) + 1
    if dataset.all_cells < max(_FEWEST_CELLS, _CELLS_A_PROGRAM * options.rank):
        _log.warning(
            "layer %d is fitted without 'consensus': %d cells are too few for %d programs.",
            depth,
            dataset.all_cells,
            options.rank,
        )
        return fit_layer(
            dataset, previous, options, batches=batches, progress=progress, checkpoint=checkpoint
        )
    if previous is None and batches is None and options.batch is not None:
        # All fits have the same: of half of the cells they would be those of a part of a batch.
        with threads_of_a_fit(options.threads) as threads:
            batches = learn_batches(dataset, options, threads)
    rng = np.random.default_rng([options.seed, depth])
    probe = compared_cells(dataset, rng)
    most = most_programs(previous, options.rank)
    pairs, starts = fits_of_halves(
        dataset, previous, replace(options, rank=most), batches, probe, rng, progress, checkpoint
    )
    newest = [fit[-1] for pair in pairs for fit in pair]
    programs = grouped(
        [fit.usage for fit in newest],
        [fit.shares for fit in newest],
        most_programs(previous, options.rank),
    )
    model = fit_layer(
        dataset,
        previous,
        options,
        programs=programs,
        batches=batches,
        progress=progress,
        checkpoint=checkpoint,
    )
    found = [Found(usage, programs) for usage, programs in probe.layers(model, options)]
    model.replication = replication_table(found, pairs, starts)
    if gains:
        with threads_of_a_fit(options.threads) as threads:
            measured = held_out_gains(dataset, model, rng, threads)
        model.replication["held_out_gain"] = np.concatenate(measured)
    _tell(model, options)
    return model


def most_programs(previous: Model | None, rank: int) -> int:
    """Programs of a new layer, at the most.

    Where fewer programs than were asked for are found again in the layer before, a layer of the
    size that was asked for may group hardly any of them. So it is made smaller too: to the same
    share of the layer before, but not below two thirds of it.

    Parameters
    ----------
    previous : Model or None
        The model that the layer is added to, None for the first layer.
    rank : int
        Programs that the new layer is asked for.
    """
    if previous is None:
        return rank
    there = previous.layers[-1]
    share = max(COARSER, rank / previous.info["options"]["rank"])
    return max(1, min(rank, round(share * there), there - 1))


def fit_key(dataset: Dataset, previous: Model | None, options: LayerOptions) -> dict[str, Any]:
    """What a checkpoint tells one fit from another by: all that its result depends on."""
    return {
        "data set": dataset.fingerprint(),
        "layers before": None if previous is None else previous.fingerprint(),
        "options": options.plain(),
        "versions": versions(),
    }


def _tell(model: Model, options: LayerOptions) -> None:
    """Log how many programs of the new layer were found, and how many are found again."""
    newest = model.replication[model.replication["layer"] == len(model.layers)]
    _log.info(
        "layer %d: of %d programs asked for, %d are found in most fits of random halves of the "
        "cells; the usage of %d of them correlates by %.1f or more between two halves.",
        len(model.layers),
        options.rank,
        len(newest),
        int(newest["replicated"].sum()),
        REPLICATED,
    )
