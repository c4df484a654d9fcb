"""AnnData files: counts in ``X``, in a named layer or in ``raw``; CSR, CSC or dense."""

from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from neuralNMF.errors import InputError
from neuralNMF.io.elements import read_elem
from neuralNMF.io.regroup import regroup
from neuralNMF.io.source import (
    CompressedRows,
    Contents,
    DenseRows,
    RowSource,
    SpilledRows,
    check_indptr,
    check_range,
    readable,
)

SYMBOLS = ("symbol", "symbols", "gene_symbol", "gene_symbols", "gene_name", "gene_names",
           "feature_name", "name")  # fmt: skip
BLOCK = 1 << 22  # entries of a CSC matrix read at once


def read_h5ad(
    path: Path, file: h5py.File, layer: str | None, folder: str | Path | None
) -> Contents:
    """Contents of an AnnData file; a CSC matrix goes through a temporary file in ``folder``."""
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
        source=_source(path, matrix, shape, folder),
        barcodes=obs.index.astype(str).to_numpy(dtype=object),
        gene_ids=ids,
        gene_symbols=np.asarray(symbols).astype(str).astype(object),
        obs=obs,
        where=place,
        layers=[name for name in ["X", *layers, *raw] if name != (layer or "X")],
    )


def _source(
    path: Path, matrix: h5py.Group | h5py.Dataset, shape: tuple[int, int], folder: str | Path | None
) -> RowSource:
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
        spill = regroup(blocks, shape, int(indptr[-1]), folder)
        matrix.file.close()
        return SpilledRows(spill)
    raise InputError(
        f"'{path}' holds '{matrix.name}' as '{kind}': write it as CSR, CSC or dense array."
    )


def _csc_blocks(
    path: Path, group: h5py.Group, indptr: np.ndarray, cells: int
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """(cell, gene, count) of `BLOCK` entries at a time, gene after gene."""
    for first in range(0, int(indptr[-1]), BLOCK):
        last = min(first + BLOCK, int(indptr[-1]))
        with readable(path):
            cell, count = group["indices"][first:last], group["data"][first:last]
        check_range(path, cell, cells, "cell")
        gene = np.searchsorted(indptr, np.arange(first, last), side="right") - 1
        yield cell, gene, count
