"""CellRanger's MTX folders: version 3 (gzip) and version 2 (plain), and folders like them.

A MatrixMarket file is text, slow to read and in any order, so it is read once, when it is opened,
into temporary files (see `neuralNMF.io.sort_by_cell`).
"""

import gzip
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
import pandas as pd

from neuralNMF.errors import InputError
from neuralNMF.io.contents import Contents, check_range
from neuralNMF.io.sort_by_cell import sort_by_cell

logger = logging.getLogger(__name__)

FEATURES = ("features.tsv", "genes.tsv")
BLOCK = 1 << 21  # lines parsed at once


def read_mtx(folder: Path, temporary: str | Path | None) -> Contents:
    """Read ``matrix.mtx``, ``barcodes.tsv``, and ``features.tsv`` or ``genes.tsv`` (or .gz).

    Parameters
    ----------
    folder : Path
        With these files.
    temporary : str, Path or None
        Folder for the temporary files that the counts are sorted in.

    Raises
    ------
    InputError
        A file is missing, damaged, or does not fit the others.
    """
    matrix = _find(folder, "matrix.mtx")
    barcodes = _table(_find(folder, "barcodes.tsv"))[0]
    features = _table(_find(folder, *FEATURES))
    ids = features[0]
    symbols = features[1] if len(features) > 1 else ids
    types = features[2] if len(features) > 2 else None
    with _text(matrix) as file:
        genes, cells, entries = _header(matrix, file)
        shape, swap = (barcodes.size, ids.size), False
        if (cells, genes) != shape:
            if (genes, cells) != shape:
                raise InputError(
                    f"'{matrix}' is {genes} genes x {cells} cells but its folder names {shape[1]} "
                    f"genes and {shape[0]} cells: put the files of one run into one folder."
                )
            logger.info("%s is cells x genes, read so", matrix)
            swap = True
        blocks = _blocks(matrix, file, entries, shape, swap)
        counts = sort_by_cell(blocks, shape, entries, temporary)
    return Contents(counts, barcodes, ids, symbols, feature_types=types)


def _find(folder: Path, *names: str) -> Path:
    """The first of the files that is there, plain or packed."""
    for name in names:
        for path in (folder / f"{name}.gz", folder / name):
            if path.is_file():
                return path
    raise InputError(
        f"The folder '{folder}' has no {' or '.join(names)} (plain or .gz): give a CellRanger "
        "folder with matrix.mtx, barcodes.tsv and features.tsv or genes.tsv."
    )


@contextmanager
def _text(path: Path) -> Iterator[IO[str]]:
    """Open a file as text; what breaks while it is read becomes one sentence."""
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8") as file:
            yield file
    except InputError:
        raise
    except (EOFError, OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"'{path}' is truncated or damaged ({error}): copy or download it again."
        ) from error
    except ValueError as error:  # pandas' parser
        raise InputError(
            f"'{path}' has a line that is not three numbers ({error}): write it again."
        ) from error


def _table(path: Path) -> list[np.ndarray]:
    """The columns that all lines have."""
    with _text(path) as file:
        lines = [line.rstrip("\r\n").split("\t") for line in file]
    lines = [line for line in lines if line != [""]]
    width = min((len(line) for line in lines), default=1)
    return [np.array([line[i] for line in lines], dtype=object) for i in range(width)]


def _header(path: Path, file: IO[str]) -> tuple[int, int, int]:
    """Read rows, columns and entries; the file then stands at the first entry."""
    words = file.readline().lower().split()
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
            return rows, columns, entries
    raise InputError(f"'{path}' has no line with its size: copy or write the file again.")


def _blocks(
    path: Path, file: IO[str], entries: int, shape: tuple[int, int], swap: bool
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Give (cell, gene, count) of `BLOCK` lines at a time; swap: cells stand before genes."""
    read = 0
    if entries:
        # pandas' fast parser may round in the last place: whole numbers survive it.
        names = ["cell", "gene", "count"] if swap else ["gene", "cell", "count"]
        types = {"gene": np.int64, "cell": np.int64, "count": np.float64}
        parser = pd.read_csv(
            file,
            sep=r"\s+",
            header=None,
            names=names,
            index_col=False,
            dtype=types,
            chunksize=BLOCK,
        )
        with parser:
            for table in parser:
                cell, gene = table["cell"].to_numpy() - 1, table["gene"].to_numpy() - 1
                check_range(path, cell, shape[0], "cell")
                check_range(path, gene, shape[1], "gene")
                read += len(table)
                yield cell, gene, table["count"].to_numpy()
    if read != entries:
        raise InputError(
            f"'{path}' announces {entries} entries but holds {read}: copy or download it again."
        )
