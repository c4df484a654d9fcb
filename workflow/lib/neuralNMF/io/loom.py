"""Loom files: a dense matrix of genes x cells, and columns of both, in HDF5."""

from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from neuralNMF.errors import InputError
from neuralNMF.io.contents import Contents
from neuralNMF.io.faults import readable
from neuralNMF.io.genes import names_of_genes, type_column
from neuralNMF.io.hdf5 import check_inside
from neuralNMF.io.hdf5_rows import DenseRows
from neuralNMF.io.user_tables import carried

# Attributes with the names of cells and of genes, the likeliest first.
CELLS = ("CellID", "obs_names", "cell_names", "barcode", "barcodes", "cell_id", "cellid")
GENES = ("Accession", "var_names", "ensembl_ids", "gene_ids", "gene_id", "Gene", "gene_names",
         "gene", "Symbol", "gene_symbols")  # fmt: skip


def is_loom(file: h5py.File) -> bool:
    """Whether an HDF5 file has the parts of a loom file."""
    return isinstance(file.get("matrix"), h5py.Dataset) and {"row_attrs", "col_attrs"} <= set(file)


def read_loom(path: Path, file: h5py.File, layer: str | None) -> Contents:
    """Read a loom file.

    Parameters
    ----------
    path : Path
        Of the file, for messages.
    file : h5py.File
        The same, open; it stays open as long as its rows are read from it.
    layer : str or None
        None or ``matrix``, or the name of one of its layers.

    Raises
    ------
    InputError
        There is no such layer, or the names do not fit the matrix.
    """
    with readable(path):
        layers = sorted(file["layers"]) if "layers" in file else []
        name = layer or "matrix"
        if name not in ["matrix", *layers]:
            known = ", ".join(["matrix", *layers])
            raise InputError(f"'{path}' has no layer '{name}': its layers are {known}.")
        matrix = file["matrix" if name == "matrix" else f"layers/{name}"]
        check_inside(path, file, matrix, file["row_attrs"], file["col_attrs"])
        if len(matrix.shape) != 2:
            raise InputError(f"'{path}' has no matrix in '{matrix.name}': write the file again.")
        genes = _table(path, file["row_attrs"], matrix.shape[0])
        cells = _table(path, file["col_attrs"], matrix.shape[1])
    index = _names(path, genes, GENES, "genes (row attribute 'Gene' or 'Accession')")
    ids, symbols = names_of_genes(index, genes)
    return Contents(
        DenseRows(path, matrix, genes_first=True),
        _names(path, cells, CELLS, "cells (column attribute 'CellID')"),
        ids,
        symbols,
        obs=cells,
        where=name,
        layers=[other for other in ["matrix", *layers] if other != name],
        feature_types=type_column(genes),
    )


def _table(path: Path, group: h5py.Group, size: int) -> pd.DataFrame:
    """The attributes of all rows or columns that can be carried."""
    return pd.DataFrame(carried(path, group.name, group, size), index=range(size))


def _names(path: Path, table: pd.DataFrame, known: tuple[str, ...], what: str) -> np.ndarray:
    """The first of the known columns that has a name of its own for each row, else the first."""
    columns = [table[name].astype(str) for name in known if name in table]
    if not columns:
        raise InputError(f"'{path}' has no names of {what}: write the file again with them.")
    chosen = next((column for column in columns if column.is_unique), columns[0])
    return chosen.to_numpy(dtype=object)
