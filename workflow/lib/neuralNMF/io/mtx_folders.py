"""Which files belong together: a matrix in MatrixMarket text, and the names of its cells and genes.

CellRanger, STARsolo, alevin, kallisto, Parse and BD call them differently, and GEO puts a prefix
before each (``GSM1_donor_matrix.mtx.gz``).
"""

import re
from dataclasses import dataclass
from pathlib import Path

from neuralNMF.errors import InputError
from neuralNMF.io.faults import readable

PACKED = r"(?:\.gz|\.bz2|\.xz)?"
MATRIX = re.compile(rf".+\.mtx{PACKED}", re.IGNORECASE)
TEXT = re.compile(rf"\.(?:tsv|txt|csv){PACKED}$", re.IGNORECASE)
# What stands in the matrix' name where the tables have theirs, the longest first.
STEMS = ("count_matrix", "counts_matrix", "raw_counts", "umi_counts", "matrix", "quants_mat",
         "counts", "dge", "uniqueandmult-em", "spliced", "unspliced", "ambiguous")  # fmt: skip
GENES = ("features", "genes", "all_genes", "gene_names", "genenames", "gene", "quants_mat_cols",
         "rownames", "var", "rows")  # fmt: skip
CELLS = ("barcodes", "cells", "cell_metadata", "cell_names", "barcode", "quants_mat_rows",
         "colnames", "metadata", "cellnames", "obs", "cell", "cols")  # fmt: skip
# Matrices of one run that are no counts of it alone: taken only where the path names them.
PARTS = {"spliced", "unspliced", "ambiguous", "nascent", "mature", "uniqueandmult"}
# In the names of programs that write cells x genes: alevin, kallisto, Parse.
CELLS_FIRST = ("quants_mat", "cells_x_genes", "all_genes", "cell_metadata")


@dataclass(frozen=True)
class MtxFiles:
    """The three files of a matrix.

    Attributes
    ----------
    matrix, cells, genes : Path
        The matrix, the names of its cells, and those of its genes.
    cells_first : bool
        Whether files of these names are cells x genes; it decides where both fit.
    """

    matrix: Path
    cells: Path
    genes: Path
    cells_first: bool


def find_mtx(path: Path) -> MtxFiles:
    """Find the three files, given one folder or the path of one matrix.

    Raises
    ------
    InputError
        There is no matrix or more than one, or a table of names is missing.
    """
    with readable(path):
        folder = path if path.is_dir() else path.parent
        files = sorted(p for p in folder.iterdir() if not p.name.startswith(".") and p.is_file())
    matrix = _the_matrix(path, files) if path.is_dir() else path
    cells, genes = _table(matrix, CELLS, files), _table(matrix, GENES, files)
    if cells is None or genes is None:
        what = "barcodes.tsv" if cells is None else "features.tsv or genes.tsv"
        there = ", ".join(p.name for p in files if p != matrix and TEXT.search(p.name))
        raise InputError(
            f"The folder '{folder}' has no {what} for {matrix.name} but {_short(there) or 'none'}: "
            "put the names of its cells and of its genes beside it."
        )
    names = f"{matrix.name} {genes.name} {cells.name}".lower()
    return MtxFiles(matrix, cells, genes, any(name in names for name in CELLS_FIRST))


def _the_matrix(folder: Path, files: list[Path]) -> Path:
    """The matrix that a folder is about."""
    found = {_whole(p): p for p in files if MATRIX.fullmatch(p.name)}  # packed rather than plain
    counts = {name: p for name, p in found.items() if not PARTS & set(re.split(r"[_.-]", name))}
    if len(counts) == 1:
        return next(iter(counts.values()))
    some = [p.name for p in (counts or found).values()]
    if some:
        raise InputError(
            f"The folder '{folder}' has the matrices {_short(', '.join(some))}: give the path of "
            f"the one that holds the counts, such as '{folder / some[0]}'."
        )
    with readable(folder):
        below = sorted(p for p in folder.glob("*/*") if MATRIX.fullmatch(p.name))
        files_below = sorted(p for p in folder.glob("*.h5*"))
    advice = "give a CellRanger folder with matrix.mtx, barcodes.tsv and features.tsv or genes.tsv"
    if below or files_below:
        advice = f"give '{(files_below or [p.parent for p in below])[0]}' for example"
    raise InputError(f"The folder '{folder}' has no matrix.mtx (plain or .gz): {advice}.")


def _whole(matrix: Path) -> str:
    """A matrix' name without its endings, in lower case."""
    return re.sub(rf"\.mtx{PACKED}$", "", matrix.name.lower())


def _table(matrix: Path, words: tuple[str, ...], files: list[Path]) -> Path | None:
    """The table that is called as the matrix, with one of `words` in place of the matrix' own."""
    texts = sorted((p for p in files if TEXT.search(p.name)), key=_rank)
    plain = {TEXT.sub("", p.name.lower()): p for p in texts}
    whole = _whole(matrix)
    stem = next((stem for stem in STEMS if stem in whole), None)
    before, _, behind = whole.rpartition(stem or "\n")
    for word in words:
        # GEO's, kallisto's (cells_x_genes.mature, cells_x_genes.barcodes), and without a prefix.
        names = [f"{whole}.{word}", f"{whole}_{word}", f"{whole.rpartition('.')[0]}.{word}", word]
        for name in ([f"{before}{word}{behind}"] if stem else []) + names:
            if name in plain:
                return plain[name]
    likely = [p for name, p in plain.items() if set(words) & set(re.split(r"[_.-]", name))]
    return likely[0] if len(likely) == 1 else None


def _rank(path: Path) -> tuple[int, bool]:
    """Of tables with the same name the last one is taken: tsv, and packed ones."""
    kind = next(
        (i for i, end in enumerate((".csv", ".txt", ".tsv")) if end in path.name.lower()), 0
    )
    return kind, not TEXT.search(path.name).group(0).endswith(("v", "t"))  # type: ignore[union-attr]


def _short(text: str) -> str:
    return text if len(text) <= 100 else f"{text[:97]}..."
