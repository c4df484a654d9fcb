"""Matrices in MatrixMarket text beside the names of their cells and genes.

Such a file is slow to read and in any order, so it is read once, when it is opened, into temporary
files (see `neuralNMF.io.sort_by_cell`).
"""

import logging
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np
import pandas as pd

from neuralNMF.errors import InputError
from neuralNMF.io.contents import Contents, check_range
from neuralNMF.io.first_bytes import head_of, stream_of
from neuralNMF.io.mtx_folders import find_mtx
from neuralNMF.io.mtx_names import read_cells, read_genes
from neuralNMF.io.sort_by_cell import sort_by_cell
from neuralNMF.io.text import open_text

logger = logging.getLogger(__name__)

BLOCK = 1 << 21  # lines parsed at once
SHORTEST_ENTRY = len("1 1 1\n") - 1  # the last line may have no end
DENSEST = 1032  # times that gzip makes text smaller at most; others hardly more


def read_mtx(path: Path, temporary: str | Path | None) -> Contents:
    """Read a matrix and its two tables of names, however they are called.

    Parameters
    ----------
    path : Path
        A folder with one matrix, or the matrix.
    temporary : str, Path or None
        Folder for the temporary files that the counts are sorted in.

    Raises
    ------
    InputError
        A file is missing, damaged, or does not fit the others.
    """
    files = find_mtx(path)
    matrix = files.matrix
    with open_text(matrix) as file:
        rows, columns, entries = _header(matrix, file)
        cells = read_cells(files.cells, {rows, columns})
        genes = read_genes(files.genes, {rows, columns})
        shape = (cells.names.size, genes.ids.size)
        fitting = [swap for swap in (False, True) if (columns, rows)[:: -1 if swap else 1] == shape]
        if not fitting:
            raise InputError(
                f"'{matrix}' is {rows} genes x {columns} cells but its folder names {shape[1]} "
                f"genes and {shape[0]} cells: put the files of one run into one folder."
            )
        swap = files.cells_first if len(fitting) == 2 else fitting[0]
        if swap:
            logger.info("%s is cells x genes, read so", matrix)
        blocks = _blocks(matrix, file, entries, shape, swap)
        counts = sort_by_cell(blocks, shape, entries, temporary)
    return Contents(
        counts, cells.names, genes.ids, genes.symbols, obs=cells.obs, feature_types=genes.types
    )


def is_mtx(path: Path) -> bool:
    """Whether a text file begins as MatrixMarket does, or is named so."""
    with open_text(path) as file:
        return file.readline(100).lower().startswith("%%matrixmarket") or ".mtx" in path.suffixes


def _header(path: Path, file: IO[str]) -> tuple[int, int, int]:
    """Read rows, columns and entries; the file then stands at the first entry."""
    words = file.readline(1000).lower().split()
    if words[:3] != ["%%matrixmarket", "matrix", "coordinate"] or words[4:] != ["general"]:
        raise InputError(
            f"'{path}' does not begin with '%%MatrixMarket matrix coordinate ... general': give "
            "counts as a general coordinate matrix."
        )
    if words[3] not in ("integer", "real"):
        raise InputError(f"'{path}' holds '{words[3]}' values: give 'integer' or 'real' counts.")
    for line in file:
        if not line.startswith("%") and line.strip():
            try:
                rows, columns, entries = (int(word) for word in line.split())
            except ValueError:
                break
            _check_size(path, rows, columns, entries)
            return rows, columns, entries
    raise InputError(f"'{path}' has no line with its size: copy or write the file again.")


def _check_size(path: Path, rows: int, columns: int, entries: int) -> None:
    """Raise InputError where a header announces what the file cannot hold."""
    most = path.stat().st_size * (DENSEST if stream_of(head_of(path)) else 1) / SHORTEST_ENTRY
    if min(rows, columns, entries) < 0 or max(rows, columns) > np.iinfo(np.int32).max:
        raise InputError(f"'{path}' says that it is {rows} x {columns}: write the file again.")
    if entries > most:
        raise InputError(
            f"'{path}' announces {entries} entries but holds fewer, {os.fspath(path.name)} being "
            f"{path.stat().st_size} bytes: copy or download it again."
        )


def _blocks(
    path: Path, file: IO[str], entries: int, shape: tuple[int, int], swap: bool
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Give (cell, gene, count) of `BLOCK` lines at a time; swap: cells stand before genes."""
    read = 0
    for table in _parsed(path, file, ["cell", "gene"] if swap else ["gene", "cell"], entries):
        cell, gene = table["cell"].to_numpy() - 1, table["gene"].to_numpy() - 1
        check_range(path, cell, shape[0], "cell")
        check_range(path, gene, shape[1], "gene")
        read += len(table)
        yield cell, gene, table["count"].to_numpy()
    if read != entries:
        raise InputError(
            f"'{path}' announces {entries} entries but holds {read}: copy or download it again."
        )


def _parsed(path: Path, file: IO[str], first: list[str], entries: int) -> Iterator[pd.DataFrame]:
    """Give tables of `BLOCK` lines; InputError where a line is not three numbers."""
    if not entries:
        return
    # pandas' fast parser may round in the last place: whole numbers survive it.
    types = dict.fromkeys(first, np.int64) | {"count": np.float64}
    wide = (
        f"'{path}' has more than three numbers a line, as Velocyto's has, and spliced counts alone "
        "are no counts of the sample: give the matrix of all counts."
    )
    try:
        with warnings.catch_warnings():
            # pandas only warns of a longer line, and takes three numbers of it.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            with pd.read_csv(
                file,
                sep=r"\s+",
                header=None,
                names=[*first, "count"],
                index_col=False,
                dtype=types,
                chunksize=BLOCK,
            ) as parser:
                yield from parser
    except pd.errors.EmptyDataError:
        return
    except pd.errors.ParserWarning as error:
        raise InputError(wide) from error
    except InputError:
        raise
    except (ValueError, OverflowError) as error:
        if "expected 3 fields" in str(error).lower():
            raise InputError(wide) from error
        text = " ".join(str(error).split())[:150]
        raise InputError(
            f"'{path}' has a line that is not three numbers ({text}): write it again."
        ) from error
