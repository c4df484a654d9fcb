"""Random parts of a data set: some of its cells, or a share of the counts of all of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import scipy.sparse as sp

from neuralNMF.cells.stream import sample_rows
from neuralNMF.io.dataset import Dataset, held_dataset
from neuralNMF.io.model import Model
from neuralNMF.options import CELLS_OF_A_HALF


def halves(
    cells: int, splits: int, rng: np.random.Generator, most: int = CELLS_OF_A_HALF
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Draw pairs of random halves of the cells, that have none in common.

    Parameters
    ----------
    cells : int
        N.
    splits : int
        Pairs.
    rng : numpy.random.Generator
    most : int
        Cells of a half, at the most.

    Returns
    -------
    list of (ndarray of int64, ndarray of int64)
        Rising row numbers, min(N // 2, most) in each.
    """
    size = min(cells // 2, most)
    drawn = (rng.permutation(cells)[: 2 * size] for _ in range(splits))
    return [(np.sort(order[:size]), np.sort(order[size:])) for order in drawn]


def cells_of(dataset: Dataset, cells: np.ndarray) -> Dataset:
    """Some cells of a data set, in memory of every process, with all of its genes.

    Parameters
    ----------
    dataset : Dataset
    cells : ndarray of int64, (n,)
        Rising row numbers, among all cells, whoever holds them.
    """
    own = dataset.own(cells)
    parts = dataset.team.gathered((sample_rows(dataset, own), dataset.obs.iloc[own]))
    counts, tables = zip(*parts, strict=True)
    return held_dataset(
        sp.vstack(counts, format="csr"), pd.concat(tables), dataset.var, dataset.path
    )


def model_of_cells(model: Model, dataset: Dataset, cells: np.ndarray) -> Model:
    """A model with some of its cells, its programs as they are; in every process.

    Parameters
    ----------
    model : Model
        With the cells of the data set.
    dataset : Dataset
    cells : ndarray of int64, (n,)
        As for `cells_of`.
    """
    first, *later = model.thetas
    own = dataset.own(cells)
    usages, tables = zip(*dataset.team.gathered((first[own], model.obs.iloc[own])), strict=True)
    return replace(model, thetas=[np.concatenate(usages), *later], obs=pd.concat(tables))


def thinned(
    dataset: Dataset, overdispersion: np.ndarray, rng: np.random.Generator
) -> tuple[Dataset, Dataset]:
    """Split the counts of every cell into two halves that are independent of each other.

    A count x of a gene with overdispersion b (variance = mean + b mean^2) is split beta-binomially
    with both parameters 1 / (2 b): of a negative binomial count the two parts are independent
    negative binomial ones of half the mean (Neufeld et al. 2023). With b = 0 that is the binomial
    split of Poisson counts.

    Parameters
    ----------
    dataset : Dataset
        N cells, M genes; small enough to be held.
    overdispersion : ndarray, (M,)
        b of every gene, at least 0.
    rng : numpy.random.Generator

    Returns
    -------
    (Dataset, Dataset)
        In memory. A cell's total over all genes is split as its selected counts are.

    References
    ----------
    Neufeld, A., Popp, J., Gao, L. L., Battle, A. & Witten, D. (2023). Negative binomial count
    splitting for single-cell RNA sequencing data. arXiv:2307.12985.
    """
    counts = dataset.rows(0, dataset.shape[0])
    shape = 0.5 / np.maximum(overdispersion, _ALMOST_POISSON)[counts.indices]
    chance = np.where(overdispersion[counts.indices] > _ALMOST_POISSON, rng.beta(shape, shape), 0.5)
    # What is no whole number, as corrected counts are not, is split down to the whole ones.
    whole = np.floor(counts.data).astype(np.int64)
    one = rng.binomial(whole, chance).astype(np.float32)
    return _part(dataset, counts, one), _part(dataset, counts, whole - one)


# From this overdispersion down counts are split as Poisson ones.
_ALMOST_POISSON = 1e-6


def _part(dataset: Dataset, counts: sp.csr_matrix, values: np.ndarray) -> Dataset:
    part = sp.csr_matrix(
        (values.astype(np.float32), counts.indices.copy(), counts.indptr.copy()), counts.shape
    )
    part.eliminate_zeros()
    selected = np.asarray(part.sum(axis=1, dtype=np.float64)).ravel()
    before = dataset.obs["selected_counts"].to_numpy(np.float64)
    totals = dataset.obs["total_counts"].to_numpy(np.float64) * selected / np.maximum(before, 1.0)
    obs = dataset.obs.assign(selected_counts=selected, total_counts=totals)
    return held_dataset(part, obs, dataset.var, dataset.path)
