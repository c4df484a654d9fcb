"""The factors of the batches, learned with programs: see docs/batches.md.

Rounds of two steps. With the factors taken out of X', a factorisation says which cells are alike,
whatever their batch: those with the same main program. By the sums over the cells of each batch and
program the factors are what all programs of a batch share (`batches.effects`).
"""

from __future__ import annotations

import logging

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from neuralNMF.batches.effects import Effects, GroupSums, first_factors, shared_factors
from neuralNMF.batches.factors import Batches, batch_of_cells, check_batches, names_of_all
from neuralNMF.cells.place import Place
from neuralNMF.cells.products import rows_products
from neuralNMF.cells.scaling import Scaling, fit_scaling
from neuralNMF.cells.stream import draw_sample, sample_products
from neuralNMF.io.dataset import Dataset
from neuralNMF.least_squares.starts import first_programs, usage_of
from neuralNMF.options import POISSON, LayerOptions
from neuralNMF.threads import Threads

_log = logging.getLogger(__name__)

# Programs by which cells are told apart, whatever the layers: so all sizes have the same factors.
PROGRAMS = 20
_ROUNDS = 4
# The factors have settled where their logarithms move by less than this (root of the mean square).
_SETTLED = 0.01
# Of counts at one library size, so that the most expressed genes do not lead.
_GENE_POWER = 0.5
_CHUNK = 20_000


def learn_batches(dataset: Dataset, options: LayerOptions, threads: Threads) -> Batches:
    """Learn a factor for each batch and gene from all cells of a data set.

    Parameters
    ----------
    dataset : Dataset
        N cells, M genes.
    options : LayerOptions
        Of the first layer: ``batch``, what X' is, and the seed. Poisson models take out the factors
        of counts at one library size.
    threads : Threads

    Returns
    -------
    Batches
        Also ``noise`` and ``disagreement``, by which those of new batches are shrunk.

    Raises
    ------
    InputError
        There is no such column, or all cells are of one batch.
    """
    column = str(options.batch)
    names = check_batches(dataset.obs, column, dataset.team)
    batches = Batches(column, tuple(map(str, names)), np.ones((names.size, dataset.shape[1])))
    codes = batches.codes(dataset.obs)
    generator = torch.Generator().manual_seed(options.seed * 1000)
    place = Place(dtype=torch.float32, threads=threads)
    conditions, levels = _conditions(dataset, options)
    scaling = _scaling(dataset, options, None)
    shape = names.size, levels
    factors = first_factors(_sums(dataset, scaling, codes, conditions, shape))
    effects = Effects(factors, np.zeros(names.size), 1.0, 1.0)
    for _ in range(_ROUNDS):
        batches = Batches(column, batches.names, factors)
        scaling = _scaling(dataset, options, batches)
        programs_t = _programs(dataset, scaling, place, generator)
        groups = _main_programs(dataset, scaling, programs_t, threads)
        groups = np.where(groups >= 0, groups * levels + conditions, -1)
        shape = names.size, programs_t.shape[1] * levels
        sums = _sums(dataset, scaling, codes, groups, shape)
        effects = shared_factors(sums, factors)
        moved = float(np.sqrt(np.mean(np.log(effects.factors / factors) ** 2)))
        factors = effects.factors
        if moved < _SETTLED:
            break
    _tell(batches.names, effects)
    return Batches(column, batches.names, factors, effects.noise, effects.disagreement)


def _conditions(dataset: Dataset, options: LayerOptions) -> tuple[np.ndarray, int]:
    """The condition of every cell as a number, (N,), and how many there are; 0 and 1 without."""
    if options.condition is None:
        return np.zeros(dataset.shape[0], np.int64), 1
    conditions = batch_of_cells(dataset.obs, options.condition)
    batches = batch_of_cells(dataset.obs, str(options.batch))
    names, of_batches = (names_of_all(part, dataset.team) for part in (conditions, batches))
    codes = np.searchsorted(names, conditions)
    cells = np.zeros((of_batches.size, names.size))
    np.add.at(cells, (np.searchsorted(of_batches, batches), codes), 1.0)
    dataset.team.add(cells)
    if ((cells > 0).sum(axis=0) < 2).all():
        _log.warning(
            "'batch: %s' and 'condition: %s' cannot be told apart: no condition has cells of two "
            "batches. No factors are taken out.",
            options.batch,
            options.condition,
        )
    return codes, names.size


def _scaling(dataset: Dataset, options: LayerOptions, batches: Batches | None) -> Scaling:
    if options.loss in POISSON:
        return fit_scaling(dataset, "library", "none", _GENE_POWER, batches=batches)
    asked = options.normalize, options.transform, options.gene_power
    return fit_scaling(dataset, *asked, batches=batches)


def _programs(
    dataset: Dataset, scaling: Scaling, place: Place, generator: torch.Generator
) -> Tensor:
    """Programs (M, k) of X' without the factors, of a sample of the cells."""
    chosen = draw_sample(dataset.all_cells, generator)
    sample = sample_products(dataset, scaling, chosen, place)
    return first_programs(sample, max(1, min(PROGRAMS, min(sample.shape) // 4)), generator)


def _main_programs(
    dataset: Dataset, scaling: Scaling, programs_t: Tensor, threads: Threads
) -> np.ndarray:
    """The program with the largest share of each cell's usage, (N,); -1 of a cell without any."""
    mass = programs_t.sum(0).numpy()
    groups = []
    for start in range(0, dataset.shape[0], _CHUNK):
        stop = min(start + _CHUNK, dataset.shape[0])
        counts = dataset.rows(start, stop)
        values = scaling.values(counts.data, counts.indptr, counts.indices, start, stop)
        products = rows_products(
            sp.csr_matrix((values, counts.indices, counts.indptr), counts.shape),
            scaling.outer_cells[start:stop],
            scaling.genes,
            threads=threads,
        )
        usage = usage_of(programs_t, products).numpy() * mass
        groups.append(np.where(usage.any(axis=1), usage.argmax(axis=1), -1))
        dataset.release()
    return np.concatenate(groups)


def _sums(
    dataset: Dataset,
    scaling: Scaling,
    codes: np.ndarray,
    groups: np.ndarray,
    shape: tuple[int, int],
) -> GroupSums:
    """Sums over the cells of each batch and group, without the genes' and the batches' factors.

    shape: (B, K). Cells of no batch or no group do not count.
    """
    batches, number = shape
    plain = Scaling(scaling.cells, scaling.genes, scaling.transform, scaling.dtype)
    of_group = np.where((groups >= 0) & (codes < batches), codes * number + groups, -1)
    genes = dataset.shape[1]
    values, squares = np.zeros((batches * number, genes)), np.zeros(genes)
    for start in range(0, dataset.shape[0], _CHUNK):
        stop = min(start + _CHUNK, dataset.shape[0])
        counts = dataset.rows(start, stop)
        data = plain.values(counts.data, counts.indptr, counts.indices, start, stop)
        data = data * np.repeat(plain.outer_cells[start:stop], np.diff(counts.indptr))
        inside = np.flatnonzero(of_group[start:stop] >= 0)
        chosen = sp.csr_matrix((data, counts.indices, counts.indptr), counts.shape)[inside]
        ones = np.ones(inside.size), (of_group[start + inside], np.arange(inside.size))
        sums = sp.csr_matrix(ones, (batches * number, inside.size)) @ chosen
        values[np.repeat(np.arange(batches * number), np.diff(sums.indptr)), sums.indices] += (
            sums.data
        )
        squares += np.bincount(chosen.indices, chosen.data**2, genes)
        dataset.release()
    cells = np.bincount(of_group[of_group >= 0], minlength=batches * number).astype(float)
    dataset.team.add(values, squares, cells)
    return GroupSums(values.reshape(*shape, genes), cells.reshape(shape), squares)


def _tell(names: tuple[str, ...], effects: Effects) -> None:
    spreads = np.std(np.log(effects.factors), axis=1)
    listed = ", ".join(f"{name} {spread:.2f}" for name, spread in zip(names, spreads, strict=True))
    _log.info("batches: spread of the logarithms of the genes' factors: %s", listed)
