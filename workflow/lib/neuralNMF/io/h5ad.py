"""AnnData files of any version: counts in ``X``, a named layer or ``raw``; CSR, CSC or dense."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from neuralNMF.errors import InputError
from neuralNMF.io.contents import Contents, RowSource, check_range, refuse_ranges
from neuralNMF.io.faults import readable
from neuralNMF.io.genes import names_of_genes, type_column
from neuralNMF.io.hdf5 import check_inside
from neuralNMF.io.hdf5_rows import (
    CompressedRows,
    DenseRows,
    check_indptr,
    is_array,
    native,
    whole,
)
from neuralNMF.io.sort_by_cell import sort_by_cell
from neuralNMF.io.user_tables import read_table

logger = logging.getLogger(__name__)

BLOCK = 1 << 22  # entries of a CSC matrix read at once
RAW = ("raw/X", "raw.X")  # since anndata 0.7, before
MODALITIES = ("rna", "gex", "gene_expression", "gene expression")


def read_h5ad(
    path: Path,
    root: Any,
    layer: str | None,
    folder: str | Path | None,
    *,
    by_range: bool = False,
) -> Contents:
    """Read an AnnData file, or the one of the genes in a MuData file.

    Parameters
    ----------
    path : Path
        Of the file, for messages.
    root : Group of h5py or zarr
        The same, open; it stays open as long as its rows are read from it.
    layer : str or None
        Where the counts are: None or ``X``, a layer's name, or ``raw`` for ``raw.X``.
    folder : str, Path or None
        For the temporary files that a CSC matrix is sorted in.
    by_range : bool
        Whether a CSC matrix is refused, since only a range of cells is to be read.

    Raises
    ------
    InputError
        There is no such layer, or its tables and matrix do not fit each other.
    """
    with readable(path):
        top, root = root, anndata_of_genes(path, root)
        places = places_of_counts(root)
        name = (layer or "X").removeprefix("layers/")
        name = "raw" if name in RAW and "raw" in places else name
        others = [other for other in places if other != name]
    if name not in places:
        what = "holds no counts in 'X'" if name == "X" else f"has no layer '{name}'"
        known = " and ".join(filter(None, [", ".join(others[:-1]), *others[-1:]])) or "none"
        raise InputError(
            f"'{path}' {what}: its layers are {known}; name one that holds raw counts."
        )
    place, of_genes = places[name]
    with readable(path):
        parts = [root[part] for part in ("obs", "var", of_genes, place)]
        uns = root.get("uns") if is_array(parts[0]) else None  # anndata before 0.7
        if isinstance(root, h5py.Group):
            check_inside(path, root, *parts, *([] if uns is None else [uns]))
    obs = read_table(path, parts[0], uns)
    if top is not root:
        obs = _filled(obs, _shared(path, top))
    var = read_table(path, parts[2], uns)
    if of_genes != "var":
        var = _filled(var, read_table(path, parts[1], uns))
    ids, symbols = names_of_genes(var.index.to_numpy(dtype=object), var)
    return Contents(
        matrix=_rows_of(path, parts[3], (len(obs), len(var)), folder, by_range=by_range),
        barcodes=obs.index.to_numpy(dtype=object),
        gene_ids=ids,
        gene_symbols=symbols,
        obs=obs,
        where=place,
        layers=others,
        feature_types=type_column(var),
    )


def places_of_counts(root: Any) -> dict[str, tuple[str, str]]:
    """Where counts may lie: the matrix and its table of genes, by the name of the layer."""
    layers = sorted(root["layers"]) if "layers" in root else []
    places = {"X": ("X", "var")} if _there(root, "X") else {}
    places |= {layer: (f"layers/{layer}", "var") for layer in layers}
    for raw in RAW:
        of_genes = f"{raw[:-1]}var"
        if "raw" not in layers and _there(root, raw) and _there(root, of_genes):
            places["raw"] = (raw, of_genes)
    return places


def _there(root: Any, name: str) -> bool:
    """Whether a file has a matrix or a table, and not only an empty place for it."""
    *above, last = name.split("/")
    for part in above:
        if part not in root or is_array(root[part]):
            return False
        root = root[part]
    return last in root and not (is_array(root[last]) and root[last].shape is None)


def anndata_of_genes(path: Path, root: Any) -> Any:
    """The AnnData of an open file; of MuData, that of gene expression within it."""
    if "mod" not in root or "X" in root:
        return root
    modalities = list(root["mod"])
    for name in modalities:
        if name.lower() in MODALITIES:
            logger.info("%s: MuData, 'mod/%s' is read", path, name)
            return root["mod"][name]
    raise InputError(
        f"'{path}' is MuData and has no modality 'rna' but {', '.join(modalities) or 'none'}: "
        "write the one with the counts of genes as .h5ad."
    )


def _shared(path: Path, top: Any) -> pd.DataFrame:
    """The columns of cells that MuData has for all modalities together."""
    if isinstance(top, h5py.Group):
        check_inside(path, top, top["obs"])
    obs = read_table(path, top["obs"])
    return obs[[name for name in obs if ":" not in name]]


def _filled(table: pd.DataFrame, other: pd.DataFrame) -> pd.DataFrame:
    """A table with the columns that only another has, where that has the row."""
    missing = [name for name in other if name not in table]
    if not missing or not other.index.is_unique:
        return table
    return pd.concat([table, other[missing].reindex(table.index)], axis=1)


def _rows_of(
    path: Path,
    matrix: Any,
    shape: tuple[int, int],
    folder: str | Path | None,
    *,
    by_range: bool,
) -> RowSource:
    """Serve the rows of a matrix that is stored as CSR, CSC or dense array."""
    dense = is_array(matrix)
    # Files of anndata before 0.7 say h5sparse_*.
    attributes = matrix.attrs
    stored = matrix.shape if dense else attributes.get("shape", attributes.get("h5sparse_shape"))
    with readable(path):
        fits = stored is not None and tuple(int(n) for n in stored) == shape
    if not fits:
        size = "of unknown size" if stored is None else " x ".join(str(n) for n in stored)
        raise InputError(
            f"'{path}' names {shape[0]} cells and {shape[1]} genes but '{matrix.name}' is {size}: "
            "write the file again with fitting tables."
        )
    if dense:
        return DenseRows(path, matrix)
    kind = attributes.get("encoding-type", attributes.get("h5sparse_format", ""))
    kind = kind.decode() if isinstance(kind, bytes) else str(kind)
    if kind.startswith("csr"):
        return CompressedRows(path, matrix, shape)
    if kind.startswith("csc"):
        if by_range:
            refuse_ranges(path, f"CSC in '{matrix.name}'")
        indptr = check_indptr(path, matrix, shape[1], "genes")
        blocks = _csc_blocks(path, matrix, indptr, shape[0])
        counts = sort_by_cell(blocks, shape, int(indptr[-1]), folder)
        close: Callable[[], None] | None = getattr(getattr(matrix, "file", None), "close", None)
        if close is not None:
            close()
        return counts
    raise InputError(
        f"'{path}' holds '{matrix.name}' as '{kind}': write it as CSR, CSC or dense array."
    )


def _csc_blocks(
    path: Path, group: Any, indptr: np.ndarray, cells: int
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Give (cell, gene, count) of `BLOCK` entries at a time, gene after gene."""
    for first in range(0, int(indptr[-1]), BLOCK):
        last = min(first + BLOCK, int(indptr[-1]))
        with readable(path):
            cell = whole(path, group["indices"][first:last], "indices")
            count = native(group["data"][first:last])
        check_range(path, cell, cells, "cell")
        gene = np.searchsorted(indptr, np.arange(first, last), side="right") - 1
        yield cell, gene, count
