"""Build the data set.

Two passes over the inputs, three with variable genes, each in chunks of cells: memory holds a
chunk, some vectors per gene and the cells' tables, whatever the size of the inputs.
"""

import logging
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pandas as pd

from neuralNMF.dataset.genes import choose_genes, read_lists
from neuralNMF.dataset.join import check_labels, check_names, common_genes, join_obs
from neuralNMF.dataset.options import DatasetOptions, DatasetSummary, InputSpec
from neuralNMF.dataset.source import Source, first_pass, kept_chunks
from neuralNMF.errors import InputError
from neuralNMF.io.atomic import atomic_path
from neuralNMF.io.counts import open_counts
from neuralNMF.io.dataset_writer import DatasetWriter

logger = logging.getLogger(__name__)


def build_dataset(
    inputs: Sequence[InputSpec],
    output: str | Path,
    options: DatasetOptions | None = None,
    *,
    genes_table: str | Path | None = None,
    labels: str | None = None,
    chunk_cells: int = 2000,
    progress: bool = True,
) -> DatasetSummary:
    """Write the data set of ``inputs`` and its table of genes.

    Genes are joined by id, in the first input's order. Cells are those of the inputs in turn; with
    several inputs a barcode gets the input's name as suffix.

    Args:
        inputs: counts files, each with a name of its own.
        output: path of ``dataset.h5ad``; temporary files go to its folder.
        options: which cells and genes; by default all that are not empty.
        genes_table: path of the table of all common genes; by default ``genes.tsv`` beside it.
        labels: a column that ``obs`` of an input must have.
        chunk_cells: cells read at once.
        progress: show progress bars.

    Raises InputError where an input is not what it should be, inputs share no genes, or nothing
    is left after filtering. No output is left then.
    """
    options = options or DatasetOptions()
    output = Path(output)
    output.parent.mkdir(parents=True, exist_ok=True)
    check_names(inputs)
    lists = read_lists(options)  # before any long work
    with ExitStack() as stack:
        readers = [
            stack.enter_context(open_counts(spec.path, spec.layer, temporary=output.parent))
            for spec in inputs
        ]
        check_labels(labels, inputs, readers)
        genes, columns = common_genes(inputs, readers)
        sources = [
            first_pass(spec.name, reader, column, options.min_counts, chunk_cells, progress)
            for spec, reader, column in zip(inputs, readers, columns, strict=True)
        ]
        table, dropped = choose_genes(genes, sources, options, lists, chunk_cells, progress)
        dropped["cells_min_counts"] = sum(int((~s.kept).sum()) for s in sources)
        with atomic_path(genes_table or output.parent / "genes.tsv") as genes_path:
            summary = _write(output, sources, table, options, dropped, chunk_cells, progress)
            table.to_csv(genes_path, sep="\t", index=False)
    logger.info("%s: %d cells x %d genes, %d non-zero", output, *summary.shape, summary.nnz)
    return summary


def _write(
    output: Path,
    sources: Sequence[Source],
    table: pd.DataFrame,
    options: DatasetOptions,
    dropped: dict[str, int],
    chunk_cells: int,
    progress: bool,
) -> DatasetSummary:
    """Copy the chosen genes of the cells that have any; tables last."""
    chosen = np.flatnonzero(table["selected"] != "")
    nnz = int(table["n_cells"].to_numpy()[chosen].sum())
    tables = []
    with DatasetWriter(output, chosen.size, nnz) as writer:
        for source in sources:
            numbers, sums = [], []
            for number, counts in kept_chunks(source, chosen, chunk_cells, "write", progress):
                total = np.asarray(counts.sum(axis=1, dtype=np.float64)).ravel()
                writer.append(counts[total > 0])
                numbers.append(number[total > 0])
                sums.append(total[total > 0])
            written = np.concatenate(numbers)
            empty = int(source.kept.sum()) - written.size
            logger.info("%s: %d cells empty on the selected genes, dropped", source.name, empty)
            dropped["cells_empty"] = dropped.get("cells_empty", 0) + empty
            obs = source.reader.obs.iloc[written]
            tables.append((source.name, obs, source.totals[written], np.concatenate(sums)))
        cells = sum(len(entry[1]) for entry in tables)
        if not cells:
            raise InputError(
                f"No cell has a count in the {chosen.size} selected genes: loosen the gene lists."
            )
        var = _var(table.iloc[chosen], sum(s.statistics.cells for s in sources), cells)
        info = {"options": options.plain(), "dropped": dropped}
        writer.finish(join_obs(tables), var, info)
    return DatasetSummary(shape=(cells, chosen.size), nnz=nnz, dropped=dropped)


def _var(table: pd.DataFrame, before: int, cells: int) -> pd.DataFrame:
    """Of the selected genes, with moments over the cells of the data set (empty ones left out)."""
    var = table.drop(columns="dropped").set_index(pd.Index(table["gene_id"].to_numpy()))
    square = (var["variance"] + var["mean"] ** 2) * before / cells
    var["mean"] *= before / cells
    var["variance"] = np.maximum(square - var["mean"] ** 2, 0.0)
    var["selected"] = var["selected"].astype("category")
    return var
