"""One data set by many jobs, each of which reads some cells of the inputs, and files for each.

The steps are those of `build_dataset`, and so is what comes of them, but for the counts, which lie
in a file a part: `count_part`, then `filter_genes_of`, then `score_part` where variable genes are
asked for, then `choose_genes_of`, `write_part`, and `join_dataset`. Those that are named after a
part see its cells; the others see sums, and the last one the tables of all cells. What one step
tells the next is in files of `io.states`.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from neuralNMF.dataset.choose_genes import filter_genes, read_lists, see
from neuralNMF.dataset.copy_cells import append_cells, check_some_cells, var_of
from neuralNMF.dataset.join import InputCells, common_genes, join_obs
from neuralNMF.dataset.options import DatasetOptions, DatasetSummary
from neuralNMF.dataset.part_states import (
    choice_of,
    choice_state,
    counted_inputs,
    input_state,
    nonzeros,
    read,
    table_of,
    table_state,
)
from neuralNMF.dataset.passes import CHUNK, check_some_kept, first_pass
from neuralNMF.dataset.pieces import Piece, counted_before, opened_piece, stamp_of
from neuralNMF.io.dataset import open_dataset
from neuralNMF.io.dataset_door import write_door
from neuralNMF.io.dataset_writer import DatasetWriter
from neuralNMF.io.states import write_state
from neuralNMF.io.tables import write_table
from neuralNMF.io.unchanged import checksum_of

logger = logging.getLogger(__name__)

_OWN = ("dataset", "total_counts", "selected_counts")


def count_part(
    pieces: Sequence[Piece],
    output: str | Path,
    options: DatasetOptions,
    *,
    chunk_cells: int = CHUNK,
    progress: bool = True,
) -> None:
    """Count the cells and genes of a part: its totals, and statistics of all genes of its inputs.

    Parameters
    ----------
    pieces : sequence of Piece
        What belongs to the part, in the order of the inputs.
    output : str or Path
        Of the state; temporary files go to its folder.
    options : DatasetOptions
        ``min_counts`` and ``batch`` count.
    chunk_cells : int
        Cells read at once.
    progress : bool
        Whether to show progress bars.

    Raises
    ------
    InputError
        An input is not what it should be, or cannot be read by ranges of cells.
    """
    output, found = Path(output), []
    for piece in pieces:
        with opened_piece(piece, output.parent, options.batch, chunk_cells, progress) as opened:
            filtered = first_pass(opened, options.min_counts)
            # Once an input, since all of it is read for that.
            whole = checksum_of(Path(piece.source.path)) if piece.number == 0 else None
            state = input_state(filtered, (piece.number, piece.of), whole)
            found.append(state | {"stamp": stamp_of(opened.reader.path)})
    write_state(output, {"inputs": found})


def filter_genes_of(
    counted: Sequence[str | Path], output: str | Path, options: DatasetOptions
) -> None:
    """Join the genes of all inputs and filter them, from what was counted in all parts.

    Parameters
    ----------
    counted : sequence of str or Path
        Of `count_part`, of all parts in their order.
    output : str or Path
        Of the state.
    options : DatasetOptions
        What is asked for.

    Raises
    ------
    InputError
        Inputs share no genes or no name, no gene is left, or an input has no cell with counts.
    """
    lists = read_lists(options)
    inputs = counted_inputs(counted)
    for each in inputs:
        check_some_kept(each.name, each.kept, each.largest, options.min_counts)
    genes, columns = common_genes({each.name: each for each in inputs})
    own = [each.of_genes(columns[each.name]) for each in inputs]
    choice = filter_genes(genes, own, options, lists)
    state = {
        "options": options.plain(),
        "batch": options.batch,
        "names": [each.name for each in inputs],
        "columns": [columns[each.name] for each in inputs],
        "checksums": {each.name: each.checksum for each in inputs},
        "few_counts": sum(each.cells - each.kept for each in inputs),
        "before": sum(each.kept for each in inputs),
        "choice": choice_state(choice),
    }
    write_state(output, state)


def score_part(
    pieces: Sequence[Piece],
    counted: str | Path,
    filtered: str | Path,
    output: str | Path,
    *,
    chunk_cells: int = CHUNK,
    progress: bool = True,
) -> None:
    """Read a part again, for the variable genes.

    Parameters
    ----------
    pieces, chunk_cells, progress
        As `count_part` takes them.
    counted, filtered : str or Path
        Of `count_part` of the same part, and of `filter_genes_of`.
    output : str or Path
        Of the state.
    """
    state = read(filtered)
    choice = choice_of(state["choice"])
    output, inputs = Path(output), read(counted)["inputs"]
    for each in counted_before(pieces, inputs, state, output.parent, chunk_cells, progress):
        see(choice, [each])
    seen = [{name: way.seen() for name, way in each.by_batch.items()} for each in choice.ways]
    write_state(output, {"ways": seen})


def choose_genes_of(
    filtered: str | Path,
    scored: Sequence[str | Path],
    output: str | Path,
    genes_table: str | Path,
) -> None:
    """Choose the genes, and write the table of all common ones.

    Parameters
    ----------
    filtered : str or Path
        Of `filter_genes_of`.
    scored : sequence of str or Path
        Of `score_part`, of all parts; empty where no variable genes are asked for.
    output : str or Path
        Of the state.
    genes_table : str or Path
        As `build_dataset` writes it.
    """
    state = read(filtered)
    choice = choice_of(state.pop("choice"))
    for path in scored:
        for way, seen in zip(choice.ways, read(path)["ways"], strict=True):
            for name, of_batch in seen.items():
                way.by_batch[name].merge(of_batch)
    table, dropped = choice.finish(state["options"]["variable_genes"])
    chosen = np.flatnonzero(table["selected"] != "")
    state["dropped"] = dropped | {"cells_min_counts": state.pop("few_counts")}
    state["columns"] = [columns[chosen] for columns in state["columns"]]
    state["table"] = table_state(table.iloc[chosen])
    write_table(table, genes_table, digits=None)
    write_state(output, state)


def write_part(
    pieces: Sequence[Piece],
    counted: str | Path,
    chosen: str | Path,
    output: str | Path,
    *,
    chunk_cells: int = CHUNK,
    progress: bool = True,
) -> None:
    """Write the cells of a part with the chosen genes: a data set of its own.

    Its table of genes has means and variances over the cells of all parts.

    Parameters
    ----------
    pieces, chunk_cells, progress
        As `count_part` takes them.
    counted, chosen : str or Path
        Of `count_part` of the same part, and of `choose_genes_of`.
    output : str or Path
        ``part-*.h5ad``.
    """
    state, known = read(chosen), read(counted)["inputs"]
    columns = [state["columns"][state["names"].index(each["name"])] for each in known]
    output, cells = Path(output), []
    genes = table_of(state["table"])
    every = np.arange(len(genes))
    nnz = sum(nonzeros(each, own) for each, own in zip(known, columns, strict=True))
    with DatasetWriter(output, len(genes), nnz) as writer:
        for each in counted_before(pieces, known, state, output.parent, chunk_cells, progress):
            cells.append(append_cells(writer, each, every))
        obs = join_obs(cells, suffixes=len(state["names"]) > 1)
        text = [name for name in obs if _is_text(obs[name])]
        notes = {
            "options": state["options"],
            "inputs": state["checksums"],
            "part": {"cells": [[each.name, len(each.obs)] for each in cells], "text": text},
        }
        writer.finish(obs, var_of(genes, state["before"], state["before"]), notes)


def join_dataset(
    chosen: str | Path, parts: Sequence[str | Path], output: str | Path
) -> DatasetSummary:
    """Put the parts together: all tables in one file, which says where the counts are.

    Parameters
    ----------
    chosen : str or Path
        Of `choose_genes_of`.
    parts : sequence of str or Path
        Of `write_part`, of all parts in their order.
    output : str or Path
        Of the data set.

    Returns
    -------
    DatasetSummary
        The size of the data set, and what was dropped.

    Raises
    ------
    InputError
        No cell is left, a part is damaged, or a barcode stands for two cells.
    """
    state = read(chosen)
    tables: dict[str, list[pd.DataFrame]] = {name: [] for name in state["names"]}
    nnz = 0
    for path in parts:
        part = open_dataset(path)
        nnz += part.nnz
        start, obs = 0, part.obs.astype(dict.fromkeys(part.notes["part"]["text"], object))
        for name, number in part.notes["part"]["cells"]:
            tables[name].append(obs.iloc[start : start + number])
            start += number
    obs = join_obs([_of_input(name, each) for name, each in tables.items()], suffixes=False)
    genes = table_of(state["table"])
    check_some_cells(len(obs), len(genes))
    dropped = state["dropped"] | {"cells_empty": state["before"] - len(obs)}
    notes = {"options": state["options"], "dropped": dropped, "inputs": state["checksums"]}
    write_door(output, parts, obs, var_of(genes, state["before"], len(obs)), notes)
    summary = DatasetSummary(shape=(len(obs), len(genes)), nnz=nnz, dropped=dropped)
    told = (output, len(parts), *summary.shape, nnz)
    logger.info("%s, of %d parts: %d cells x %d genes, %d non-zero", *told)
    return summary


def _of_input(name: str, tables: list[pd.DataFrame]) -> InputCells:
    """The cells of an input, from the tables of its parts."""
    obs = pd.concat(tables) if len(tables) > 1 else tables[0]
    totals, selected = (obs[column].to_numpy() for column in _OWN[1:])
    return InputCells(name, obs.drop(columns=list(_OWN)), totals, selected)


def _is_text(column: pd.Series) -> bool:
    """Whether a file keeps a column as categories which the column itself does not have."""
    return column.dtype == object or isinstance(column.dtype, pd.StringDtype)
