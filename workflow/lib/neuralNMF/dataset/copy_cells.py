"""The last pass over an input: its cells with the chosen genes go into the data set."""

import logging

import numpy as np
import pandas as pd

from neuralNMF.dataset.join import InputCells
from neuralNMF.dataset.passes import FilteredInput
from neuralNMF.errors import InputError
from neuralNMF.io.dataset_writer import DatasetWriter

logger = logging.getLogger(__name__)


def append_cells(writer: DatasetWriter, each: FilteredInput, chosen: np.ndarray) -> InputCells:
    """Write an input's cells that are not empty on the chosen genes, and tell which they are.

    Parameters
    ----------
    writer : DatasetWriter
    each : FilteredInput
    chosen : ndarray of int, (m,)
        Which of the common genes.
    """
    numbers, sums = [np.empty(0, np.int64)], [np.empty(0)]
    for number, counts in each.chunks(chosen, "write"):
        total = np.asarray(counts.sum(axis=1, dtype=np.float64)).ravel()
        writer.append(counts[total > 0])
        numbers.append(number[total > 0])
        sums.append(total[total > 0])
    written = np.concatenate(numbers)
    empty = int(each.kept.sum()) - written.size
    logger.info("%s: %d cells empty on the selected genes, dropped", each.name, empty)
    obs = each.opened.obs.iloc[written]
    return InputCells(each.name, obs, each.totals[written], np.concatenate(sums))


def check_some_cells(cells: int, genes: int) -> None:
    """Raise InputError where no cell is left, with so many genes."""
    if not cells:
        raise InputError(
            f"No cell has a count in the {genes} selected genes: loosen the gene lists."
        )


def var_of(table: pd.DataFrame, before: int, cells: int) -> pd.DataFrame:
    """``var`` of the data set: its moments, from over the cells `before` to over those kept."""
    var = table.drop(columns="dropped").set_index(pd.Index(table["gene_id"].to_numpy()))
    square = (var["variance"] + var["mean"] ** 2) * before / cells
    var["mean"] *= before / cells
    var["variance"] = np.maximum(square - var["mean"] ** 2, 0.0)
    var["selected"] = var["selected"].astype("category")
    return var
