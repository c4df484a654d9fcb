"""The names of cells and of genes that lie beside a matrix, one a line."""

from __future__ import annotations

import csv
import logging
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from neuralNMF.errors import InputError
from neuralNMF.io.genes import are_ids, are_types, names_of_genes, type_column
from neuralNMF.io.text import read_lines, unquoted

logger = logging.getLogger(__name__)

TYPED = 3  # columns of CellRanger's features.tsv: id, symbol, type
# The first line where it is no gene or cell, and a matrix says that there is one too many.
HEADER = re.compile(r".*(gene|barcode|cell|bc_|symbol|feature|ensembl|name|index|id).*|[xv]?1?")
UNSPLICED, AMBIGUOUS = "-U", "-A"  # what alevin-fry appends to the genes of such counts


@dataclass(frozen=True)
class Cells:
    """Names of N cells, and their table if there is one."""

    names: np.ndarray
    obs: pd.DataFrame | None


@dataclass(frozen=True)
class Genes:
    """Ids, symbols and types (None where there are none) of M features."""

    ids: np.ndarray
    symbols: np.ndarray
    types: np.ndarray | None


def read_cells(path: Path, sizes: set[int]) -> Cells:
    """Read the names of cells.

    Parameters
    ----------
    path : Path
        Of the table: names alone, or a header and columns.
    sizes : set of int
        Of the matrix; a line more than that is a header.
    """
    lines = _fields(path)
    header = _header(lines, sizes)
    names = np.array([line[0] for line in lines], dtype=object)
    if header is None or len(header) < 2 or {len(line) for line in lines} != {len(header)}:
        return Cells(names, None)
    columns = {name: _typed([line[i] for line in lines]) for i, name in enumerate(header) if i}
    return Cells(names, pd.DataFrame(columns, index=names))


def read_genes(path: Path, sizes: set[int]) -> Genes:
    """Read ids, symbols and types of features.

    Raises
    ------
    InputError
        A line has fewer columns than the others, or unspliced counts stand beside others.
    """
    lines = _fields(path)
    header = _header(lines, sizes)
    beside = path.with_name(path.name.replace("genes.txt", "genes.names.txt"))  # kallisto's
    if beside != path and beside.is_file():
        words = [unquoted(line) for line in read_lines(beside)]
        if len(words) == len(lines) and {len(line) for line in lines} == {1}:
            lines = [[*line, word] for line, word in zip(lines, words, strict=True)]
    if header is not None:
        table = pd.DataFrame([line[: len(header)] for line in lines], columns=header, dtype=object)
        table = table.fillna("")
        index = table.iloc[:, 0].to_numpy(dtype=object)
        ids, symbols = names_of_genes(index, table.iloc[:, 1:])
        return Genes(ids, symbols, type_column(table))
    width = Counter(map(len, lines)).most_common(1)[0][0] if lines else 1
    _check_lines(path, lines, width)
    ids = np.array([line[0] for line in lines], dtype=object)
    _refuse_unspliced(path, ids)
    symbols = np.array([line[1] for line in lines], dtype=object) if width > 1 else ids
    if are_ids(symbols) and not are_ids(ids):  # the other way round
        ids, symbols = symbols, ids
    return Genes(ids, np.where(symbols == "", ids, symbols), _types(path, lines, width))


def _fields(path: Path) -> list[list[str]]:
    """The lines of a table, cut at its tabs or, where it has none, at its commas."""
    lines = read_lines(path)
    if path.name.lower().removesuffix(".gz").endswith(".csv") and "\t" not in "".join(lines[:3]):
        return [[word.strip() for word in line] or [""] for line in csv.reader(lines)]
    return [[unquoted(word) for word in line.split("\t")] for line in lines]


def _header(lines: list[list[str]], sizes: set[int]) -> list[str] | None:
    """Take the first line away where it is a header, and a first column where R has put numbers."""
    header = None
    one_more = len(lines) - 1 in sizes and len(lines) not in sizes
    if one_more and lines and HEADER.fullmatch(lines[0][0].lower()):
        header = lines.pop(0)
        if lines and len(lines[0]) == len(header) + 1:  # R's write.table leaves out the first
            header = ["", *header]
    if lines and all(len(line) > 1 and line[0] == str(i) for i, line in enumerate(lines, 1)):
        for line in lines:
            del line[0]
        header = header and header[1:]
    return header


def _check_lines(path: Path, lines: list[list[str]], width: int) -> None:
    """Raise InputError with the first line that lacks a column, or has one too many."""
    usual = {line[TYPED - 1] for line in lines if len(line) == width >= TYPED}
    for number, line in enumerate(lines, start=1):
        short = len(line) < min(width, TYPED)
        long = len(line) > width and width <= TYPED and any(line[width:])
        if short or (long and line[TYPED - 1] not in usual):
            raise InputError(
                f"'{path}' has {len(line)} column{'s'[: len(line) > 1]} in line {number} "
                f"('{' '.join(line)[:60]}') where the others have {width}: put tabs between its "
                "columns."
            )


def _types(path: Path, lines: list[list[str]], width: int) -> np.ndarray | None:
    """The third column if it holds types, which a tab may split: Gene, Expression."""
    if width < TYPED:
        return None
    third = np.array([line[2] for line in lines], dtype=object)
    if width > TYPED:
        joined = np.array([" ".join(line[2:4]) for line in lines], dtype=object)
        if are_types(joined):
            return joined
    if are_types(third):
        return third
    logger.info("%s: column 3 holds no types of features but '%s', left out", path, third[0])
    return None


def _refuse_unspliced(path: Path, ids: np.ndarray) -> None:
    """Raise InputError where spliced, unspliced and ambiguous counts are columns of their own."""
    known = set(ids)
    if ids.size and all(
        sum(f"{name}{end}" in known for name in ids) >= ids.size // 3 > 0
        for end in (UNSPLICED, AMBIGUOUS)
    ):
        raise InputError(
            f"'{path}' names spliced, unspliced ('{UNSPLICED}') and ambiguous ('{AMBIGUOUS}') "
            "counts of each gene: add them up first, as pyroe's load_fry does."
        )


def _typed(words: list[str]) -> np.ndarray:
    """A column of text as numbers if it is all numbers."""
    try:
        return np.array(words, dtype=np.float64)
    except ValueError:
        return np.array(words, dtype=object)
