"""From counts files to ``dataset.h5ad``: read, choose cells and genes, write.

Two passes over the inputs, three with variable genes, each in chunks of cells: memory holds a
chunk, some vectors per gene and the cells' tables, whatever the size of the inputs.
"""

import logging
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pandas as pd

from neuralNMF.dataset.choose_genes import choose_genes, read_lists
from neuralNMF.dataset.copy_cells import append_cells, check_some_cells, var_of
from neuralNMF.dataset.join import check_names, common_genes, join_obs
from neuralNMF.dataset.options import DatasetOptions, DatasetSummary, InputSpec
from neuralNMF.dataset.passes import (
    CHUNK,
    FilteredInput,
    OpenedInput,
    batches_of,
    check_some_kept,
    first_pass,
)
from neuralNMF.io.counts import open_counts
from neuralNMF.io.dataset_writer import DatasetWriter
from neuralNMF.io.tables import write_table
from neuralNMF.io.unchanged import checksum_of

logger = logging.getLogger(__name__)


def build_dataset(
    inputs: Sequence[InputSpec],
    output: str | Path,
    options: DatasetOptions | None = None,
    *,
    genes_table: str | Path | None = None,
    chunk_cells: int = CHUNK,
    progress: bool = True,
) -> DatasetSummary:
    """Write the data set of some inputs and its table of genes.

    Genes are joined by id, in the first input's order. Cells are those of the inputs in turn; with
    several inputs a barcode gets the input's name as suffix.

    Parameters
    ----------
    inputs : sequence of InputSpec
        Counts files, each with a name of its own.
    output : str or Path
        Of the data set; temporary files go to its folder.
    options : DatasetOptions or None
        Which cells and genes; None takes all that are not empty.
    genes_table : str, Path or None
        Of the table of all common genes; None: ``genes.tsv`` beside the data set.
    chunk_cells : int
        Cells read at once.
    progress : bool
        Whether to show progress bars.

    Returns
    -------
    DatasetSummary
        The size of the data set, and what was dropped.

    Raises
    ------
    InputError
        An input is not what it should be, inputs share no genes, or nothing is left after
        filtering. No output is left then.
    """
    options = options or DatasetOptions()
    output = Path(output)
    check_names(inputs)
    lists = read_lists(options)  # before any long work
    with ExitStack() as stack:
        readers = {
            spec.name: stack.enter_context(
                open_counts(spec.path, spec.layer, temporary=output.parent)
            )
            for spec in inputs
        }
        genes, columns = common_genes(readers)
        filtered = []
        for name, reader in readers.items():
            batches, cells = batches_of(reader, name, options.batch), range(reader.shape[0])
            opened = OpenedInput(name, reader, columns[name], chunk_cells, progress, batches, cells)
            filtered.append(first_pass(opened, options.min_counts))
            kept, largest = int(filtered[-1].kept.sum()), float(filtered[-1].totals.max())
            check_some_kept(name, kept, largest, options.min_counts)
        table, dropped = choose_genes(genes, filtered, options, lists)
        dropped["cells_min_counts"] = sum(int((~each.kept).sum()) for each in filtered)
        # For whoever asks later what a model was made of.
        checksums = {spec.name: checksum_of(Path(spec.path)) for spec in inputs}
        summary = _write(output, filtered, table, options, dropped, checksums)
    write_table(table, genes_table or output.parent / "genes.tsv", digits=None)
    logger.info("%s: %d cells x %d genes, %d non-zero", output, *summary.shape, summary.nnz)
    return summary


def _write(
    output: Path,
    inputs: Sequence[FilteredInput],
    table: pd.DataFrame,
    options: DatasetOptions,
    dropped: dict[str, int],
    checksums: dict[str, dict[str, int | str]],
) -> DatasetSummary:
    """Copy the chosen genes of the cells that have any of them; tables last."""
    chosen = np.flatnonzero(table["selected"] != "")
    nnz = int(table["n_cells"].to_numpy()[chosen].sum())
    with DatasetWriter(output, chosen.size, nnz) as writer:
        parts = [append_cells(writer, each, chosen) for each in inputs]
        cells = sum(len(part.obs) for part in parts)
        before = sum(each.counted.statistics.cells for each in inputs)
        dropped = dropped | {"cells_empty": before - cells}
        check_some_cells(cells, chosen.size)
        var = var_of(table.iloc[chosen], before, cells)
        notes = {"options": options.plain(), "dropped": dropped, "inputs": checksums}
        writer.finish(join_obs(parts, suffixes=len(parts) > 1), var, notes)
    return DatasetSummary(shape=(cells, chosen.size), nnz=nnz, dropped=dropped)
