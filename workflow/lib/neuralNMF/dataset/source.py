"""One input on its way into the data set: its cells and the common genes, chunk by chunk."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from tqdm import tqdm

from neuralNMF.dataset.select import GeneStatistics
from neuralNMF.errors import InputError
from neuralNMF.io.counts import CountsReader

logger = logging.getLogger(__name__)


@dataclass
class Source:
    """An opened input: its common genes, the cells that pass, and their totals."""

    name: str
    reader: CountsReader
    columns: np.ndarray  # (M,) where the common genes stand in this input
    statistics: GeneStatistics
    totals: np.ndarray  # (N,) counts over all genes of the input
    kept: np.ndarray  # (N,) bool


def first_pass(
    name: str,
    reader: CountsReader,
    columns: np.ndarray,
    min_counts: int,
    chunk_cells: int,
    progress: bool,
) -> Source:
    """Cells with enough counts, and the statistics of the common genes over them."""
    statistics = GeneStatistics(columns.size)
    totals = np.zeros(reader.shape[0])
    for start, counts in _bar(reader, chunk_cells, f"{name}: genes", progress):
        total = np.asarray(counts.sum(axis=1, dtype=np.float64)).ravel()
        totals[start : start + total.size] = total
        statistics.add(counts[total >= min_counts][:, columns])
    kept = totals >= min_counts
    if not kept.any():
        raise InputError(
            f"No cell of the input '{name}' has {min_counts} counts, the largest has "
            f"{totals.max():.0f}: lower min_counts."
        )
    logger.info("%s: %d of %d cells under %d counts, dropped", name, (~kept).sum(), kept.size,
                min_counts)  # fmt: skip
    return Source(name, reader, columns, statistics, totals, kept)


def kept_chunks(
    source: Source, columns: np.ndarray, chunk_cells: int, what: str, progress: bool
) -> Iterator[tuple[np.ndarray, sp.csr_matrix]]:
    """(numbers of the kept cells, their counts of the common genes ``columns``)."""
    for start, counts in _bar(source.reader, chunk_cells, f"{source.name}: {what}", progress):
        inside = np.flatnonzero(source.kept[start : start + counts.shape[0]])
        yield start + inside, counts[inside][:, source.columns[columns]]


def _bar(
    reader: CountsReader, chunk_cells: int, what: str, progress: bool
) -> Iterator[tuple[int, sp.csr_matrix]]:
    with tqdm(total=reader.shape[0], desc=what, unit="cell", disable=not progress) as bar:
        for start, counts in reader.chunks(chunk_cells):
            yield start, counts
            bar.update(counts.shape[0])
