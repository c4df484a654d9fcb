"""CellRanger's HDF5 files: version 3 (and the original's dialect of it) and version 2."""

from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
import scipy.sparse as sp

from neuralNMF.errors import InputError
from neuralNMF.io.atomic import atomic_path
from neuralNMF.io.contents import Contents
from neuralNMF.io.hdf5_rows import CompressedRows, as_text, readable


def write_h5(
    path: str | Path, barcodes: Sequence[str], genes: Sequence[str], matrix: sp.spmatrix
) -> None:
    """Write counts in CellRanger 3's layout, whole or not at all; same counts, same bytes.

    Parameters
    ----------
    path : str or Path
        Of the file.
    barcodes : sequence of str, N
        Names of the cells.
    genes : sequence of str, M
        Names of the genes, written as both ids and symbols.
    matrix : sparse or dense matrix, (N, M)
        Whole numbers >= 0.

    Raises
    ------
    InputError
        The names do not fit the matrix, or a value is no count.
    """
    counts = sp.csr_matrix(matrix, copy=True)
    counts.sum_duplicates()
    counts.eliminate_zeros()
    if counts.shape != (len(barcodes), len(genes)):
        raise InputError(
            f"{len(barcodes)} cell names and {len(genes)} gene names do not fit a matrix of "
            f"{counts.shape[0]} x {counts.shape[1]}: give one name a row and one a column."
        )
    values = counts.data
    if not (np.isfinite(values).all() and (values >= 0).all() and (values % 1 == 0).all()):
        raise InputError(
            f"The matrix for '{path}' holds values that are no counts: give whole numbers >= 0."
        )
    small = not values.size or values.max() <= np.iinfo(np.int32).max
    ids = np.array([str(g).encode() for g in genes], dtype="S")
    arrays = {
        "barcodes": np.array([str(b).encode() for b in barcodes], dtype="S"),
        "data": values.astype(np.int32 if small else np.int64),
        "indices": counts.indices.astype(np.int64),
        "indptr": counts.indptr.astype(np.int64),
        "shape": np.array(counts.shape[::-1], dtype=np.int32),  # genes x cells, as CellRanger
        "features/id": ids,
        "features/name": ids,
        "features/feature_type": np.full(ids.size, b"Gene Expression"),
        "features/genome": np.full(ids.size, b"unknown"),
    }
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        group = file.create_group("matrix")
        for name, array in arrays.items():
            compression = "gzip" if array.size else None
            group.create_dataset(name, data=array, compression=compression, track_times=False)


def read_h5_version3(path: Path, file: h5py.File) -> Contents:
    """Read a file with a group ``matrix``; its ``shape`` may be either way round."""
    with readable(path):
        group = file["matrix"]
        features = group["features"]
        barcodes, ids = as_text(group["barcodes"][:]), as_text(features["id"][:])
        symbols = as_text(features["name"][:]) if "name" in features else ids
        types = as_text(features["feature_type"][:]) if "feature_type" in features else None
    return _contents(path, group, barcodes, ids, symbols, types)


def read_h5_version2(path: Path, file: h5py.File) -> Contents:
    """Read a file with one group a genome; InputError unless there is exactly one."""
    genomes = [
        name
        for name, group in file.items()
        if isinstance(group, h5py.Group) and {"genes", "indptr"} <= set(group)
    ]
    if not genomes:
        raise InputError(
            f"'{path}' has none of the known HDF5 layouts: it needs a group 'matrix' (CellRanger "
            "3), a genome's group with 'genes' (CellRanger 2) or 'X', 'obs' and 'var' (AnnData), "
            f"but holds {', '.join(sorted(file)) or 'nothing'}."
        )
    if len(genomes) > 1:
        raise InputError(
            f"'{path}' holds the genomes {', '.join(genomes)}: write the one to be analysed to a "
            "file of its own."
        )
    with readable(path):
        group = file[genomes[0]]
        barcodes, ids = as_text(group["barcodes"][:]), as_text(group["genes"][:])
        symbols = as_text(group["gene_names"][:]) if "gene_names" in group else ids
    return _contents(path, group, barcodes, ids, symbols, None)


def _contents(
    path: Path,
    group: h5py.Group,
    barcodes: np.ndarray,
    ids: np.ndarray,
    symbols: np.ndarray,
    types: np.ndarray | None,
) -> Contents:
    """Check that names and matrix fit, and put them together."""
    shape = (barcodes.size, ids.size)
    with readable(path):
        stored = tuple(int(n) for n in group["shape"][:])
    if stored not in (shape, shape[::-1]):
        raise InputError(
            f"'{path}' names {shape[0]} cells and {shape[1]} genes but its matrix is "
            f"{' x '.join(map(str, stored))}: write the file again with fitting names."
        )
    if not ids.size == symbols.size == (ids.size if types is None else types.size):
        raise InputError(
            f"'{path}' has {ids.size} gene ids but {symbols.size} gene names: write it again."
        )
    matrix = CompressedRows(path, group, shape)
    return Contents(matrix, barcodes, ids, symbols, where=group.name[1:], feature_types=types)
