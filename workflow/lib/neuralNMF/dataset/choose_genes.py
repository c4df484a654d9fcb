"""Which of the common genes go into the data set, and why the others do not."""

import logging
from collections.abc import Sequence

import numpy as np
import pandas as pd

from neuralNMF.dataset.gene_statistics import GeneStatistics, pooled
from neuralNMF.dataset.match_genes import match_genes
from neuralNMF.dataset.options import DatasetOptions
from neuralNMF.dataset.passes import FilteredInput
from neuralNMF.dataset.pearson import PearsonResiduals
from neuralNMF.dataset.seurat_v3 import StandardizedCounts, usual_variance
from neuralNMF.dataset.variable_genes import GeneVariance, most_variable, within_batches
from neuralNMF.errors import InputError
from neuralNMF.io.gene_lists import read_gene_list
from neuralNMF.options import GENE_LISTS

logger = logging.getLogger(__name__)

REASONS = ("not in genes", "min_cells", "excluded", "not variable")


def read_lists(options: DatasetOptions) -> dict[str, list[str]]:
    """Read the gene lists that were given, by the names of their options."""
    lists = {what: read_gene_list(getattr(options, what)) for what in GENE_LISTS}
    return {what: names for what, names in lists.items() if names}


def choose_genes(
    genes: pd.DataFrame,
    inputs: Sequence[FilteredInput],
    options: DatasetOptions,
    lists: dict[str, list[str]],
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Choose genes by lists, by the number of cells that express them, and by their variance.

    Parameters
    ----------
    genes : DataFrame
        ``gene_id`` and ``symbol`` of the M common genes.
    inputs : sequence of FilteredInput
        Read once more if variable genes are asked for.
    options : DatasetOptions
        What is asked for.
    lists : dict of str to list of str
        What `read_lists` gave.

    Returns
    -------
    table : DataFrame
        The M genes with their statistics, ``selected`` (why a gene is in) and ``dropped`` (why it
        is not).
    dropped : dict of str to int
        Number of genes dropped for each reason.

    Raises
    ------
    InputError
        No gene is left, or none of a list's names and classes is in the data.
    """
    statistics = pooled(each.statistics for each in inputs)
    reasons, included = _filter(genes, statistics.n_cells, options.min_cells, lists)
    passed = np.flatnonzero(reasons == "")
    if not passed.size:
        counts = ", ".join(
            f"{(reasons == reason).sum()} by '{reason}'" for reason in sorted(set(reasons))
        )
        raise InputError(
            f"No gene is left of {len(genes)} ({counts}): loosen min_cells or the gene lists."
        )
    selected = np.full(len(genes), "", dtype=object)
    score = np.full(len(genes), np.nan)
    if options.variable_genes is None:
        selected[passed] = "all"
        selected[passed[included[passed]]] = "included"
    else:
        variances = _variances(inputs, passed, options)
        score[passed] = np.mean(variances, axis=0)
        selected[passed[included[passed]]] = "included"
        selected[passed[most_variable(variances, options.variable_genes)]] = "variable"
        reasons[passed[selected[passed] == ""]] = "not variable"
    table = genes.assign(
        mean=statistics.mean(),
        variance=statistics.variance(),
        n_cells=statistics.n_cells,
        variable_score=score,
        **_expressing(inputs),
        selected=selected,
        dropped=reasons,
    )
    return table, _count(reasons)


def _batches(inputs: Sequence[FilteredInput]) -> dict[str, GeneStatistics]:
    """Statistics of the genes in each batch, over all inputs; by "", of cells without one."""
    parts: dict[str, list[GeneStatistics]] = {}
    for each in inputs:
        for name, statistics in each.parts.items():
            parts.setdefault(name, []).append(statistics)
    return {name: pooled(those) for name, those in parts.items()}


def _expressing(inputs: Sequence[FilteredInput]) -> dict[str, np.ndarray]:
    """How many batches express each gene, (M,), where there are batches."""
    found = [statistics.n_cells > 0 for name, statistics in _batches(inputs).items() if name]
    return {"n_batches": np.sum(found, axis=0)} if found else {}


def _filter(
    genes: pd.DataFrame, n_cells: np.ndarray, min_cells: int, lists: dict[str, list[str]]
) -> tuple[np.ndarray, np.ndarray]:
    """Why each gene is dropped ('' where it is not), and the genes that are in in any case."""
    ids, symbols = genes["gene_id"].to_numpy(), genes["symbol"].to_numpy()
    listed = {what: match_genes(names, ids, symbols, what) for what, names in lists.items()}
    no_gene = np.zeros(len(genes), bool)
    reasons = np.full(len(genes), "", dtype=object)
    included = listed.get("include", no_gene) & (n_cells > 0)  # a zero column cannot be fitted
    if "genes" in listed:
        reasons[~listed["genes"] & ~included] = "not in genes"
    reasons[(reasons == "") & (n_cells < min_cells) & ~included] = "min_cells"
    reasons[listed.get("exclude", no_gene)] = "excluded"
    return reasons, included


def _variances(
    inputs: Sequence[FilteredInput], passed: np.ndarray, options: DatasetOptions
) -> np.ndarray:
    """By what variable genes are found, (rows, genes that passed).

    A row is that of an input; with batches there is one, of what varies within them.
    """
    if options.variable_genes is not None and options.variable_genes > passed.size:
        logger.warning(
            "%d variable genes asked for, all %d genes that passed the filters are taken",
            options.variable_genes,
            passed.size,
        )
    if options.batch is not None:
        return _variance(inputs, passed, options)[None]
    return np.stack([_variance([each], passed, options) for each in inputs])


def _variance(
    inputs: Sequence[FilteredInput], passed: np.ndarray, options: DatasetOptions
) -> np.ndarray:
    """The variance of each gene within the batches of some inputs, (genes that passed,)."""
    parts = _batches(inputs)
    found = _gene_variances(parts, passed, options, ", ".join(each.name for each in inputs))
    for each in inputs:
        for cells, counts in each.chunks(passed, "variable genes"):
            names = each.opened.batches[cells]
            for name, variance in found.items():
                own = names == name
                if own.any():
                    variance.add(counts if own.all() else counts[own])
    variances = [variance.variance() for variance in found.values()]
    return within_batches(variances, [statistics.cells for statistics in parts.values()])


def _gene_variances(
    parts: dict[str, GeneStatistics], passed: np.ndarray, options: DatasetOptions, name: str
) -> dict[str, GeneVariance]:
    """The way that is asked for, by batch, yet to see the counts of the genes that passed."""
    cells = np.array([statistics.cells for statistics in parts.values()])
    if options.variable_genes_by == "pearson":
        theta, number = options.hvg_theta, int(cells.sum())
        return {
            batch: PearsonResiduals(statistics.sums[passed], statistics.cells, theta, number)
            for batch, statistics in parts.items()
        }
    sums = np.stack([statistics.sums[passed] for statistics in parts.values()])
    squares = np.stack([statistics.squares[passed] for statistics in parts.values()])
    usual = usual_variance(sums, squares, cells, name)
    return {
        batch: StandardizedCounts(sums[row], squares[row], int(cells[row]), usual)
        for row, batch in enumerate(parts)
    }


def _count(reasons: np.ndarray) -> dict[str, int]:
    """Count and log the genes dropped for each reason."""
    dropped = {}
    for reason in REASONS:
        number = int((reasons == reason).sum())
        dropped[f"genes_{reason.replace(' ', '_')}"] = number
        if number or reason == "min_cells":
            logger.info("%d of %d genes dropped: %s", number, reasons.size, reason)
    return dropped
