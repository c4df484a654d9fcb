"""Which of the common genes go into the data set, and why the others do not."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from neuralNMF.dataset.gene_statistics import CountedInput, pooled
from neuralNMF.dataset.match_genes import match_genes
from neuralNMF.dataset.options import DatasetOptions
from neuralNMF.dataset.passes import FilteredInput
from neuralNMF.dataset.variable_genes import most_variable
from neuralNMF.dataset.ways import Way, statistics_of_batches, ways_to_vary
from neuralNMF.errors import InputError
from neuralNMF.io.gene_lists import read_gene_list
from neuralNMF.options import GENE_LISTS

logger = logging.getLogger(__name__)

REASONS = ("not in genes", "min_cells", "excluded", "not variable")


def read_lists(options: DatasetOptions) -> dict[str, list[str]]:
    """Read the gene lists that were given, by the names of their options."""
    lists = {what: read_gene_list(getattr(options, what)) for what in GENE_LISTS}
    return {what: names for what, names in lists.items() if names}


@dataclass(frozen=True)
class GeneChoice:
    """The common genes on their way into the data set.

    Attributes
    ----------
    table : DataFrame
        ``gene_id``, ``symbol``, ``mean``, ``variance``, ``n_cells`` of the M genes; with batches
        also ``n_batches``.
    reasons : ndarray of str, (M,)
        Why a gene is dropped, '' where it passed the filters.
    included : ndarray of bool, (M,)
        The genes that are in in any case.
    ways : list of Way
        By what variable genes are found; empty where none are asked for.
    """

    table: pd.DataFrame
    reasons: np.ndarray
    included: np.ndarray
    ways: list[Way]

    @property
    def passed(self) -> np.ndarray:
        """The numbers of the genes that passed the filters."""
        return np.flatnonzero(self.reasons == "")

    def finish(self, variable_genes: int | None) -> tuple[pd.DataFrame, dict[str, int]]:
        """Choose the variable genes, so many, after the ways have seen all cells.

        Returns
        -------
        table : DataFrame
            The M genes with their statistics, ``selected`` (why a gene is in) and ``dropped`` (why
            it is not).
        dropped : dict of str to int
            Number of genes dropped for each reason.
        """
        passed, included, reasons = self.passed, self.included, self.reasons.copy()
        selected = np.full(len(self.table), "", dtype=object)
        score = np.full(len(self.table), np.nan)
        if variable_genes is None:
            selected[passed] = "all"
            selected[passed[included[passed]]] = "included"
        else:
            variances = np.stack([way.variance() for way in self.ways])
            score[passed] = np.mean(variances, axis=0)
            selected[passed[included[passed]]] = "included"
            selected[passed[most_variable(variances, variable_genes)]] = "variable"
            reasons[passed[selected[passed] == ""]] = "not variable"
        table = self.table.copy()
        table.insert(table.columns.get_loc("n_cells") + 1, "variable_score", score)
        return table.assign(selected=selected, dropped=reasons), _count(reasons)


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
    table, dropped
        As `GeneChoice.finish` gives them.

    Raises
    ------
    InputError
        As `filter_genes`.
    """
    choice = filter_genes(genes, [each.counted for each in inputs], options, lists)
    see(choice, inputs)
    return choice.finish(options.variable_genes)


def see(choice: GeneChoice, inputs: Sequence[FilteredInput]) -> None:
    """Show all cells of some inputs to the ways by which variable genes are found."""
    for way in choice.ways:
        for each in inputs:
            if each.name in way.inputs:
                for cells, counts in each.chunks(choice.passed, "variable genes"):
                    way.add(each.opened.batches[cells], counts)


def filter_genes(
    genes: pd.DataFrame,
    inputs: Sequence[CountedInput],
    options: DatasetOptions,
    lists: dict[str, list[str]],
) -> GeneChoice:
    """Filter genes by lists and by the number of cells that express them.

    Parameters
    ----------
    genes, options, lists
        As `choose_genes` takes them.
    inputs : sequence of CountedInput
        Statistics of the same genes.

    Returns
    -------
    GeneChoice
        Variable genes are yet to be found in it, where they are asked for.

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
    table = genes.assign(
        mean=statistics.mean(),
        variance=statistics.variance(),
        n_cells=statistics.n_cells,
        **_expressing(inputs),
    )
    return GeneChoice(table, reasons, included, ways_to_vary(inputs, passed, options))


def _expressing(inputs: Sequence[CountedInput]) -> dict[str, np.ndarray]:
    """How many batches express each gene, (M,), where there are batches."""
    found = [
        statistics.n_cells > 0 for name, statistics in statistics_of_batches(inputs).items() if name
    ]
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


def _count(reasons: np.ndarray) -> dict[str, int]:
    """Count and log the genes dropped for each reason."""
    dropped = {}
    for reason in REASONS:
        number = int((reasons == reason).sum())
        dropped[f"genes_{reason.replace(' ', '_')}"] = number
        if number or reason == "min_cells":
            logger.info("%d of %d genes dropped: %s", number, reasons.size, reason)
    return dropped
