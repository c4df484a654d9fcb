"""Held-out error: how well a layer explains counts of the same cells that no fit has seen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from neuralNMF.batches.factors import Batches
from neuralNMF.consensus.parts import cells_of, thinned
from neuralNMF.fit import fit_layer
from neuralNMF.io.dataset import Dataset
from neuralNMF.io.model import Model
from neuralNMF.options import LayerOptions
from neuralNMF.projection.programs import held_programs
from neuralNMF.solvers.nnls import nnls

SPLITS = 3
# Held-out errors are those of so many cells at the most.
_MOST_CELLS = 10_000
# Programs of the model that overdispersion is measured around.
_RANK = 20


def overdispersion(dataset: Dataset, model: Model) -> np.ndarray:
    """Estimate by how much the counts vary beyond Poisson noise around a model.

    With t_i the counts of cell i, p_i its shares of the programs of layer 1, and C >= 0 the least
    squares of x_i = t_i p_i C, the moments give for each gene

        b_j = (sum_i (x_ij - mu_ij)^2 - sum_i mu_ij) / sum_i mu_ij^2,

    which is noisy for rare genes: numerator and denominator are averaged with those of all genes,
    these weighing as much as the median gene. What the programs do not explain counts as
    overdispersion too, so b is rather too large.

    Parameters
    ----------
    dataset : Dataset
        N cells, M genes.
    model : Model
        Fitted to it.

    Returns
    -------
    ndarray of float64, (M,)
        b of each gene, at least 0.
    """
    usage = model.thetas[0].astype(np.float64)
    sums = usage.sum(axis=1, keepdims=True)
    weights = np.divide(usage, sums, out=np.zeros_like(usage), where=sums > 0)
    weights *= dataset.obs["selected_counts"].to_numpy(np.float64)[:, None]
    counts = dataset.rows(0, dataset.shape[0]).astype(np.float64)
    gram, cross = weights.T @ weights, counts.T @ weights
    programs_t = nnls(torch.from_numpy(gram), torch.from_numpy(cross)).numpy()
    squares = np.asarray(counts.power(2).sum(axis=0)).ravel()
    explained = np.einsum("jk,jk->j", cross, programs_t)
    modelled = np.einsum("jk,kl,jl->j", programs_t, gram, programs_t)
    excess = squares - 2 * explained + modelled - programs_t @ weights.sum(axis=0)
    weight = np.median(modelled) / max(modelled.sum(), 1e-300)
    shared = excess + weight * excess.sum(), modelled + weight * modelled.sum()
    return np.maximum(np.divide(*shared, out=np.zeros_like(excess), where=shared[1] > 0), 0.0)


class HeldOut:
    """Splits of a data set's counts into a half to fit and a half to judge by.

    Parameters
    ----------
    dataset : Dataset
        All cells, or the range of them that this process holds.
    options : LayerOptions
        Of the first layer; its rank does not matter.
    batches : Batches or None
        The factors of the cells' batches; None where there are none.
    """

    def __init__(
        self, dataset: Dataset, options: LayerOptions, batches: Batches | None = None
    ) -> None:
        self._batches, self._team = batches, dataset.team
        rng = np.random.default_rng([options.seed, 0])
        chosen = np.sort(rng.permutation(dataset.all_cells)[:_MOST_CELLS])
        part = cells_of(dataset, chosen)
        with self._team.failing_together():
            # Programs are not given up here: their number is what is judged.
            self._options = replace(options, consensus=False, min_support=0.0, data_mem_size=None)
            # The same for all sizes that are tried, so that their errors are of the same splits.
            rank = max(1, min(_RANK, *(size // 4 for size in part.shape)))
            options = replace(self._options, rank=rank)
            whole = fit_layer(part, None, options, batches=batches, progress=False)
            excess = overdispersion(part, whole)
            self._splits = [with_counts(*thinned(part, excess, rng)) for _ in range(SPLITS)]
        one = np.ones((1, dataset.shape[1]))
        self._of_one = self._errors(one)

    def errors(self, programs: np.ndarray) -> np.ndarray:
        """Error of a first layer on the halves that it was not fitted to.

        Parameters
        ----------
        programs : ndarray, (k, M)
            What the fits start from, in counts.

        Returns
        -------
        ndarray of float64, (splits,)
            Squared error in the scale of the fit, or deviance, beside that of a single program.
        """
        return self._errors(programs) / self._of_one

    def _errors(self, programs: np.ndarray) -> np.ndarray:
        """Of each split; of several processes, which all have all of them, each takes some."""
        errors = np.zeros(SPLITS)
        with self._team.failing_together():
            for number in range(self._team.rank, SPLITS, self._team.size):
                errors[number] = self._error(*self._splits[number], programs)
        self._team.add(errors)
        return errors

    def _error(self, train: Dataset, test: Dataset, programs: np.ndarray) -> float:
        """Of the test half, with the usage that the cells have by their train half."""
        options = replace(self._options, rank=len(programs))
        model = fit_layer(
            train, None, options, programs=programs, batches=self._batches, progress=False
        )
        held = held_programs(model)
        cells = held.prepared(test.rows(0, test.shape[0]), test.obs)
        return held.error(cells, model.thetas[0].astype(np.float64))


def with_counts(one: Dataset, other: Dataset) -> tuple[Dataset, Dataset]:
    """Both halves without the cells that one of them has no counts of, which have no scale."""
    sizes = [half.obs["selected_counts"].to_numpy() for half in (one, other)]
    there = np.flatnonzero(np.minimum(*sizes) > 0)
    return cells_of(one, there), cells_of(other, there)
