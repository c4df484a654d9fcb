"""AnnData files: counts in ``X``, in a named layer or in ``raw``; CSR, CSC or dense."""

from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from neuralNMF.errors import InputError
from neuralNMF.io.contents import Contents, RowSource, check_range
from neuralNMF.io.elements import read_elem
from neuralNMF.io.hdf5_rows import CompressedRows, DenseRows, check_indptr, readable
from neuralNMF.io.sort_by_cell import sort_by_cell

SYMBOLS = ("symbol", "symbols", "gene_symbol", "gene_symbols", "gene_name", "gene_names",
           "feature_name", "name")  # fmt: skip
BLOCK = 1 << 22  # entries of a CSC matrix read at once


def read_h5ad(
    path: Path, file: h5py.File, layer: str | None, folder: str | Path | None
) -> Contents:
    """Read an AnnData file.

    Parameters
    ----------
    path : Path
        Of the file, for messages.
    file : h5py.File
        The same, open; it stays open as long as its rows are read from it.
    layer : str or None
        Where the counts are: None or ``X``, a layer's name, or ``raw`` for ``raw.X``.
    folder : str, Path or None
        For the temporary files that a CSC matrix is sorted in.

    Raises
    ------
    InputError
        There is no such layer, or its tables and matrix do not fit each other.
    """
    with readable(path):
        layers = sorted(file["layers"]) if "layers" in file else []
    raw = ["raw"] if "raw" in file and "raw" not in layers else []
    place = "X" if layer in (None, "X") else f"layers/{layer}"
    if layer == "raw" and raw:
        place = "raw/X"
    elif layer not in (None, "X") and layer not in layers:
        known = ", ".join(layers + raw) or "none"
        raise InputError(f"'{path}' has no layer '{layer}': its layers are X and {known}.")
    if place not in file:
        raise InputError(
            f"'{path}' holds no counts in '{place}': name one of its layers "
            f"({', '.join(layers + raw) or 'it has none'})."
        )
    with readable(path):
        obs: pd.DataFrame = read_elem(file["obs"])
        var: pd.DataFrame = read_elem(file["raw/var" if place == "raw/X" else "var"])
        matrix = file[place]
    shape = (len(obs), len(var))
    ids = var.index.astype(str).to_numpy(dtype=object)
    column = next((name for name in SYMBOLS if name in var), None)
    symbols = ids if column is None else var[column].astype(object).where(var[column].notna(), ids)
    return Contents(
        matrix=_rows_of(path, matrix, shape, folder),
        barcodes=obs.index.astype(str).to_numpy(dtype=object),
        gene_ids=ids,
        gene_symbols=np.asarray(symbols).astype(str).astype(object),
        obs=obs,
        where=place,
        layers=[name for name in ["X", *layers, *raw] if name != (layer or "X")],
    )


def _rows_of(
    path: Path, matrix: h5py.Group | h5py.Dataset, shape: tuple[int, int], folder: str | Path | None
) -> RowSource:
    """Serve the rows of a matrix that is stored as CSR, CSC or dense array."""
    dense = isinstance(matrix, h5py.Dataset)
    # Files of anndata before 0.7 say h5sparse_*.
    attributes = matrix.attrs
    stored = matrix.shape if dense else attributes.get("shape", attributes.get("h5sparse_shape"))
    if stored is None or tuple(int(n) for n in stored) != shape:
        size = "of unknown size" if stored is None else " x ".join(str(n) for n in stored)
        raise InputError(
            f"'{path}' names {shape[0]} cells and {shape[1]} genes but '{matrix.name}' is {size}: "
            "write the file again with fitting tables."
        )
    if dense:
        return DenseRows(path, matrix)
    kind = attributes.get("encoding-type", attributes.get("h5sparse_format", ""))
    if str(kind).startswith("csr"):
        return CompressedRows(path, matrix, shape)
    if str(kind).startswith("csc"):
        indptr = check_indptr(path, matrix, shape[1], "genes")
        blocks = _csc_blocks(path, matrix, indptr, shape[0])
        counts = sort_by_cell(blocks, shape, int(indptr[-1]), folder)
        matrix.file.close()
        return counts
    raise InputError(
        f"'{path}' holds '{matrix.name}' as '{kind}': write it as CSR, CSC or dense array."
    )


def _csc_blocks(
    path: Path, group: h5py.Group, indptr: np.ndarray, cells: int
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Give (cell, gene, count) of `BLOCK` entries at a time, gene after gene."""
    for first in range(0, int(indptr[-1]), BLOCK):
        last = min(first + BLOCK, int(indptr[-1]))
        with readable(path):
            cell, count = group["indices"][first:last], group["data"][first:last]
        check_range(path, cell, cells, "cell")
        gene = np.searchsorted(indptr, np.arange(first, last), side="right") - 1
        yield cell, gene, count
