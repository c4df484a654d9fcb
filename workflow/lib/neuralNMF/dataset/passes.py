"""Passes over one input on its way into the data set: which cells stay, then their counts."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy.sparse as sp

from neuralNMF.batches.factors import batch_of_cells
from neuralNMF.dataset.gene_statistics import CountedInput, GeneStatistics
from neuralNMF.errors import InputError
from neuralNMF.io.counts import CountsReader
from neuralNMF.io.values import made_equal
from neuralNMF.labels import check_groups
from neuralNMF.options import INPUT
from neuralNMF.progress import bar

logger = logging.getLogger(__name__)

CHUNK = 2000  # cells read at once; ranges of an input's cells begin where a chunk does


@dataclass(frozen=True)
class OpenedInput:
    """An input that is open for reading, and how it is read.

    Attributes
    ----------
    name : str
        Of the input, for messages and for ``obs["dataset"]``.
    reader : CountsReader
        Its N cells and all of its genes.
    columns : ndarray of int, (M,)
        Where the common genes stand among its own.
    chunk_cells : int
        Cells read at once.
    progress : bool
        Whether to show progress bars.
    batches : ndarray of str, (N,)
        The batch of each cell, "" of one without.
    cells : range
        Which of the input's cells are read; N of them, counted from the first of these.
    """

    name: str
    reader: CountsReader
    columns: np.ndarray
    chunk_cells: int
    progress: bool
    batches: np.ndarray
    cells: range

    @property
    def obs(self) -> pd.DataFrame:
        """The user's columns of these cells."""
        return self.reader.obs.iloc[self.cells.start : self.cells.stop]

    def chunks(self, what: str) -> Iterator[tuple[int, sp.csr_matrix]]:
        """These cells and all genes, chunk by chunk; `what` it is for stands at its bar."""
        first, past = self.cells.start, self.cells.stop
        title = f"{self.name}: {what}"
        with bar(title, "cell", past - first, shown=self.progress) as cells:
            for start, counts in self.reader.chunks(self.chunk_cells, first, past):
                yield start - first, counts
                cells.update(counts.shape[0])


@dataclass(frozen=True)
class FilteredInput:
    """An input after the first pass.

    Attributes
    ----------
    opened : OpenedInput
        To read it again.
    totals : ndarray, (N,)
        Counts of each cell over all genes of the input.
    kept : ndarray of bool, (N,)
        The cells with enough counts.
    counted : CountedInput
        Statistics of the common genes, over the kept cells.
    """

    opened: OpenedInput
    totals: np.ndarray
    kept: np.ndarray
    counted: CountedInput

    @property
    def name(self) -> str:
        """Of the input."""
        return self.opened.name

    def chunks(self, genes: np.ndarray, what: str) -> Iterator[tuple[np.ndarray, sp.csr_matrix]]:
        """Read the kept cells again.

        Parameters
        ----------
        genes : ndarray of int, (m,)
            Which of the common genes.
        what : str
            What the pass is for, at its bar.

        Yields
        ------
        numbers : ndarray of int, (n,)
            Of the cells in the input.
        counts : csr_matrix, (n, m)
            Their counts.
        """
        columns = self.opened.columns[genes]
        for start, counts in self.opened.chunks(what):
            inside = np.flatnonzero(self.kept[start : start + counts.shape[0]])
            yield start + inside, counts[inside][:, columns]


def first_pass(opened: OpenedInput, min_counts: int) -> FilteredInput:
    """Find the cells with at least `min_counts` counts, and the statistics of their genes.

    Raises
    ------
    InputError
        A value is no count.
    """
    parts = {str(name): GeneStatistics(opened.columns.size) for name in np.unique(opened.batches)}
    totals = np.zeros(len(opened.cells))
    for start, counts in opened.chunks("genes"):
        total = np.asarray(counts.sum(axis=1, dtype=np.float64)).ravel()
        totals[start : start + total.size] = total
        names = opened.batches[start : start + total.size]
        for name, statistics in parts.items():
            own = (total >= min_counts) & (names == name)
            if own.any():
                statistics.add(counts[own][:, opened.columns])
    kept = totals >= min_counts
    dropped = (~kept).sum()
    logger.info(
        "%s: %d of %d cells under %d counts, dropped", opened.name, dropped, kept.size, min_counts
    )
    if made_equal(totals[kept]):
        logger.warning(
            "%s: all cells have nearly the same total, %.0f. Normalised values that were rounded "
            "look so: if these are, give the raw counts instead; if the counts were thinned to one "
            "depth, all is well.",
            opened.name,
            np.median(totals[kept]),
        )
    return FilteredInput(opened, totals, kept, CountedInput(opened.name, parts))


def check_some_kept(name: str, kept: int, largest: float, min_counts: int) -> None:
    """Raise InputError where no cell of an input has enough counts; `largest`: the most it has."""
    if not kept:
        raise InputError(
            f"No cell of the input '{name}' has {min_counts} counts, the largest has "
            f"{largest:.0f}: lower min_counts."
        )


def batches_of(reader: CountsReader, name: str, column: str | None) -> np.ndarray:
    """The batch of each cell of an input, (N,); "" where there are none."""
    if column in (None, INPUT):
        return np.full(reader.shape[0], name if column == INPUT else "")
    batches = batch_of_cells(reader.obs, str(column))
    check_groups(batches, "batch", str(column))
    return batches
