"""Counts as a table of text: csv or tsv, genes in rows as on GEO, or cells in rows."""

from __future__ import annotations

import csv
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import pandas as pd

from neuralNMF.errors import InputError
from neuralNMF.gene_classes import GENE_CLASSES, gene_class_mask
from neuralNMF.io.contents import Contents
from neuralNMF.io.genes import STABLE_ID, names_of_genes, type_column
from neuralNMF.io.sort_by_cell import sort_by_cell
from neuralNMF.io.text import open_text, unquoted

logger = logging.getLogger(__name__)

VALUES = 1 << 23  # of a table, read at once: 64 MiB
FIRST = 20  # rows by which it is told what a table holds
FORMATS = (
    "give counts as .h5ad, CellRanger .h5, a folder with matrix.mtx, .loom, or a table with names "
    "in its first row and column"
)
DELIMITERS = "\t,; "
# Columns of featureCounts beside the counts.
NO_CELLS = {"chr", "start", "end", "strand", "length"}
BARCODE = re.compile(r"(?:.*[^A-Za-z])?[ACGTN]{8,}(?:[^A-Za-z].*)?|cell[-_ .]?\d+.*", re.IGNORECASE)
# Genes of every tissue; those of the classes in `gene_classes` beside them.
COMMON = {"ACTB", "GAPDH", "B2M", "MALAT1", "EEF1A1", "TMSB4X", "CD3E", "CD4", "CD8A", "VIM",
          "XIST", "NEAT1", "A1BG", "A1CF", "TP53", "XKR4", "RP1", "SOX17"}  # fmt: skip
OF_GENES = re.compile(r"gene.*|.*symbol.*|ensembl.*|feature.*|geneid", re.IGNORECASE)
OF_CELLS = re.compile(r"cell.*|barcode.*|bc_?.*|sample.*", re.IGNORECASE)


@dataclass(frozen=True)
class Layout:
    """How a table is written, told by its first lines.

    Attributes
    ----------
    delimiter : str
        Between its columns.
    header : list of str
        A name for each column.
    text : list of int
        The columns that are no counts, the names of the rows first among them.
    counts : list of int
        The others.
    first : list of list of str
        The first rows.
    """

    delimiter: str
    header: list[str]
    text: list[int]
    counts: list[int]
    first: list[list[str]]


def read_text_table(path: Path, temporary: str | Path | None) -> Contents:
    """Read a table with a name for each row and each column.

    Parameters
    ----------
    path : Path
        Of the file.
    temporary : str, Path or None
        Folder for the temporary files that the counts are sorted in.

    Raises
    ------
    InputError
        It is no such table.
    """
    try:
        with open_text(path) as file:
            layout = _layout(path, file)
        rows = _row_names(path, layout)
    except csv.Error as error:
        raise InputError(f"'{path}' is no table of counts ({error}): {FORMATS}.") from error
    columns = np.array([layout.header[i] for i in layout.counts], dtype=object)
    genes_first = _genes_in_rows(path, layout, rows[layout.text[0]], columns)
    names = rows[layout.text[0]]
    shape = (columns.size, names.size) if genes_first else (names.size, columns.size)
    others = pd.DataFrame({layout.header[i]: rows[i] for i in layout.text[1:]}, index=names)
    blocks = _blocks(path, layout, genes_first)
    counts = sort_by_cell(blocks, shape, names.size * columns.size, temporary)
    if others.columns.size:
        logger.info("%s: columns of text: %s", path, ", ".join(others.columns[:10]))
    if not genes_first:
        return Contents(counts, names, columns, columns, obs=others)
    ids, symbols = names_of_genes(names, others)
    return Contents(counts, columns, ids, symbols, feature_types=type_column(others))


def _layout(path: Path, file: IO[str]) -> Layout:
    """Find the delimiter, the header and the columns of counts."""
    lines = [line for line in _lines(file, FIRST + 1) if line.strip()]
    delimiter = max(DELIMITERS, key=lambda mark: _columns(lines, mark))
    if _columns(lines, delimiter) < 2:
        raise InputError(f"'{path}' is no table of counts: {FORMATS}.")
    header, *first = (
        [unquoted(w) for w in line] for line in csv.reader(lines, delimiter=delimiter)
    )
    if len(header) == len(first[0]) - 1:  # R's write.table leaves out the name of the first
        header = ["", *header]
    number, odd = next(((i, r) for i, r in enumerate(first, 2) if len(r) != len(header)), (0, []))
    if number:
        raise InputError(
            f"'{path}' has {len(odd)} columns in line {number} where its header has {len(header)}: "
            "write the table again."
        )
    if all(_is_number(word) for word in header[1:]) and not all(
        _is_number(row[0]) for row in first
    ):
        raise InputError(
            f"'{path}' has no names in its first line: write the table with the names of its "
            "columns."
        )
    text = [0] + [
        i
        for i in range(1, len(header))
        if header[i].lower() in NO_CELLS or not any(_is_number(row[i]) for row in first)
    ]
    counts = sorted(set(range(len(header))) - set(text))
    kept = [i for i in text if header[i].lower() not in NO_CELLS]
    if not counts:
        raise InputError(f"'{path}' has no column of numbers: give a table of counts.")
    return Layout(delimiter, header, kept, counts, first)


def _lines(file: IO[str], number: int) -> list[str]:
    """The first lines that are no comments."""
    found: list[str] = []
    for line in file:
        if not line.startswith("#"):
            found.append(line)
            if len(found) == number:
                break
    return found


def _columns(lines: list[str], delimiter: str) -> int:
    """How many columns a delimiter makes of all lines, 0 where they differ."""
    counts = [len(row) for row in csv.reader(lines, delimiter=delimiter)]
    fits = len(counts) > 1 and counts[0] in (counts[1], counts[1] - 1)
    return counts[1] if fits else 0


def _is_number(word: str) -> bool:
    try:
        float(word or "nan")
    except ValueError:
        return False
    return True


def _row_names(path: Path, layout: Layout) -> dict[int, np.ndarray]:
    """The columns of text, whole, by their numbers; every row is as long as the header."""
    words: dict[int, list[str]] = {i: [] for i in layout.text}
    with open_text(path) as file:
        _skip_header(file)
        for number, row in enumerate(csv.reader(file, delimiter=layout.delimiter), start=1):
            if row and len(row) != len(layout.header):
                raise InputError(
                    f"'{path}' has {len(row)} columns in its row {number} where its header has "
                    f"{len(layout.header)}: write the table again."
                )
            for i, column in words.items() if row else ():
                column.append(unquoted(row[i]))
    return {i: np.array(column, dtype=object) for i, column in words.items()}


def _blocks(
    path: Path, layout: Layout, genes_first: bool
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Give (cell, gene, count) of the entries that are not zero, block by block."""
    start = 0
    with open_text(path) as file:
        _skip_header(file)
        try:
            with pd.read_csv(
                file,
                sep=layout.delimiter,
                header=None,
                names=range(len(layout.header)),
                usecols=layout.counts,
                dtype=dict.fromkeys(layout.counts, np.float64),
                chunksize=max(1, VALUES // len(layout.counts)),
                low_memory=False,
            ) as parser:
                for table in parser:
                    values = table.to_numpy()
                    row, column = np.nonzero(values)
                    count = values[row, column]
                    row += start
                    start += len(values)
                    yield (column, row, count) if genes_first else (row, column, count)
        except InputError:
            raise
        except (ValueError, OverflowError) as error:
            text = " ".join(str(error).split())[:150]
            raise InputError(
                f"'{path}' has a value that is no count ({text}): give a table of whole numbers."
            ) from error


def _skip_header(file: IO[str]) -> None:
    """Read up to the header, which the layout has."""
    for line in file:
        if line.strip() and not line.startswith("#"):
            return


def _genes_in_rows(path: Path, layout: Layout, rows: np.ndarray, columns: np.ndarray) -> bool:
    """Whether rows are genes: by the names, else by the first column's, else as GEO has it."""
    of_rows, of_columns = _like_genes(rows), _like_genes(columns)
    if abs(of_rows - of_columns) > 0.02:
        genes_first = of_rows > of_columns
    elif OF_CELLS.fullmatch(layout.header[0]) or OF_GENES.fullmatch(layout.header[0]):
        genes_first = OF_GENES.fullmatch(layout.header[0]) is not None
    else:
        genes_first = True
        logger.warning(
            "%s: neither the rows ('%s') nor the columns ('%s') are called as genes are; the rows "
            "are taken for genes, transpose the table if they are cells",
            path,
            rows[0],
            columns[0],
        )
    one = "genes" if genes_first else "cells"
    logger.info("%s: a table with %d %s in rows, %d columns", path, rows.size, one, columns.size)
    return genes_first


def _like_genes(names: np.ndarray) -> float:
    """The share of names that only genes have, less that of names that only cells have."""
    if not names.size:
        return 0.0
    genes = np.array([STABLE_ID.fullmatch(name) is not None for name in names])
    genes |= np.isin([name.upper() for name in names], list(COMMON))
    for known in GENE_CLASSES:
        genes |= gene_class_mask(names, known)
    cells = sum(BARCODE.fullmatch(name) is not None for name in names)
    return (min(1.0, 20 * genes.sum() / names.size)) - cells / names.size
