"""The ways by which variable genes are found: made from statistics, before they see any counts."""

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import scipy.sparse as sp

from neuralNMF.dataset.gene_statistics import CountedInput, GeneStatistics, pooled
from neuralNMF.dataset.options import DatasetOptions
from neuralNMF.dataset.pearson import PearsonResiduals
from neuralNMF.dataset.seurat_v3 import StandardizedCounts, Usual, usual_variance
from neuralNMF.dataset.variable_genes import GeneVariance, within_batches

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Way:
    """How variable genes are found in one input, or in the batches of all.

    Attributes
    ----------
    inputs : list of str
        Names of the inputs whose cells it sees.
    settings : dict of str to dict
        By batch, what `made` makes a `GeneVariance` from: names, numbers and arrays.
    by_batch : dict of str to GeneVariance
        What is made of them, yet to see counts.
    """

    inputs: list[str]
    settings: dict[str, dict[str, Any]]
    by_batch: dict[str, GeneVariance] = field(init=False)

    def __post_init__(self) -> None:
        by_batch = {batch: made(each) for batch, each in self.settings.items()}
        object.__setattr__(self, "by_batch", by_batch)

    def add(self, batches: np.ndarray, counts: sp.csr_matrix) -> None:
        """Take in a chunk of counts (n, genes that passed), of cells of these batches (n,)."""
        for name, variance in self.by_batch.items():
            own = batches == name
            if own.any():
                variance.add(counts if own.all() else counts[own])

    def variance(self) -> np.ndarray:
        """The variance of each gene within the batches, (genes that passed,)."""
        variances = [variance.variance() for variance in self.by_batch.values()]
        return within_batches(variances, [each["cells"] for each in self.settings.values()])


def ways_to_vary(
    inputs: Sequence[CountedInput], passed: np.ndarray, options: DatasetOptions
) -> list[Way]:
    """By what variable genes are found: in each input, or with batches within all of these."""
    if options.variable_genes is None:
        return []
    if options.variable_genes > passed.size:
        logger.warning(
            "%d variable genes asked for, all %d genes that passed the filters are taken",
            options.variable_genes,
            passed.size,
        )
    groups = [list(inputs)] if options.batch is not None else [[each] for each in inputs]
    ways = []
    for group in groups:
        names = [each.name for each in group]
        settings = _settings(statistics_of_batches(group), passed, options, ", ".join(names))
        ways.append(Way(names, settings))
    return ways


def _settings(
    parts: dict[str, GeneStatistics], passed: np.ndarray, options: DatasetOptions, name: str
) -> dict[str, dict[str, Any]]:
    """What the way that is asked for is made from, by batch."""
    cells = np.array([statistics.cells for statistics in parts.values()])
    found = {
        batch: {"cells": statistics.cells, "gene_sums": statistics.sums[passed]}
        for batch, statistics in parts.items()
    }
    if options.variable_genes_by == "pearson":
        more: dict[str, Any] = {"theta": options.hvg_theta, "of_all": int(cells.sum())}
        return {batch: {**each, **more} for batch, each in found.items()}
    sums = np.stack([statistics.sums[passed] for statistics in parts.values()])
    squares = np.stack([statistics.squares[passed] for statistics in parts.values()])
    usual = asdict(usual_variance(sums, squares, cells, name))
    return {
        batch: {**each, "gene_squares": row, "usual": usual}
        for (batch, each), row in zip(found.items(), squares, strict=True)
    }


def made(settings: dict[str, Any]) -> GeneVariance:
    """A way to find variable genes that has yet to see counts."""
    if "usual" in settings:
        return StandardizedCounts(**{**settings, "usual": Usual(**settings["usual"])})
    return PearsonResiduals(**settings)


def statistics_of_batches(inputs: Sequence[CountedInput]) -> dict[str, GeneStatistics]:
    """Statistics of the genes in each batch, over all inputs; by "", of cells without one."""
    parts: dict[str, list[GeneStatistics]] = {}
    for each in inputs:
        for name, statistics in each.parts.items():
            parts.setdefault(name, []).append(statistics)
    return {name: pooled(those) for name, those in parts.items()}
