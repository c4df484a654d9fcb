"""Held-out gain: how much worse held-out counts are explained without a program."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from neuralNMF.consensus.held_out import overdispersion, with_counts
from neuralNMF.consensus.parts import cells_of, model_of_cells, thinned
from neuralNMF.evidence.support import support
from neuralNMF.io.dataset import Dataset
from neuralNMF.io.model import Model
from neuralNMF.options import POISSON
from neuralNMF.projection.programs import HeldPrograms, held_programs
from neuralNMF.threads import Threads

# Cells that gains are measured on, at the most; a usage by the Poisson likelihood takes longer.
_MOST_CELLS, _MOST_CELLS_POISSON = 3000, 300
# Of a program that fewer of these cells carry, they say nothing.
_LEAST_SUPPORT = 5.0


def held_out_gains(
    dataset: Dataset, model: Model, rng: np.random.Generator, threads: Threads
) -> list[np.ndarray]:
    """Measure what each program adds to the prediction of held-out counts.

    The counts of some cells are split into two independent halves. By one half the cells get their
    usage of a layer's programs, by the other it is judged: with all programs of the layer, and with
    one left out at a time, the programs held.

    Parameters
    ----------
    dataset : Dataset
        N cells, M genes, all or the range of them that this process holds.
    model : Model
        Fitted to it.
    rng : numpy.random.Generator
    threads : Threads

    Returns
    -------
    list of ndarray of float64, (k_l,) each
        The error (squared, or the deviance of Poisson models) without the program over that with
        all, less 1; NaN of a program that fewer than five of the cells carry.
    """
    most = _MOST_CELLS_POISSON if model.info["loss"] in POISSON else _MOST_CELLS
    chosen = np.sort(rng.permutation(dataset.all_cells)[:most])
    part, of_part = cells_of(dataset, chosen), model_of_cells(model, dataset, chosen)
    excess = overdispersion(part, replace(of_part, thetas=of_part.thetas[:1]))
    halves = with_counts(*thinned(part, excess, rng))
    # The counts' scale is that of the model, whichever of its programs are held.
    whole = _held(model, model.betas[0], threads)
    seen, unseen = (whole.prepared(half.rows(0, half.shape[0]), half.obs) for half in halves)

    def error(beta: np.ndarray) -> float:
        held = _held(model, beta, threads)
        return held.error(unseen, held.usage(seen).theta)

    gains = []
    for beta, usage in zip(model.betas, of_part.usages, strict=True):
        without = [error(np.delete(beta, program, axis=0)) for program in range(len(beta))]
        gain = np.array(without) / error(beta) - 1
        gains.append(np.where(support(usage) >= _LEAST_SUPPORT, gain, np.nan))
    return gains


def _held(model: Model, beta: np.ndarray, threads: Threads) -> HeldPrograms[Any]:
    """Programs (k, M) as the only layer of a model."""
    if not len(beta):
        beta = np.zeros((1, beta.shape[1]))
    info = {**model.info, "usage_weights": [1.0]}
    alone = replace(model, thetas=[np.empty((0, len(beta)))], betas=[beta], info=info)
    return held_programs(alone, threads=threads)
