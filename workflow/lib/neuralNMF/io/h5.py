"""CellRanger's HDF5 files: version 3 (and the original's dialect of it) and version 2."""

import logging
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
import scipy.sparse as sp

from neuralNMF.errors import InputError
from neuralNMF.io.checksums import MARK
from neuralNMF.io.contents import Contents
from neuralNMF.io.faults import readable
from neuralNMF.io.hdf5 import check_inside
from neuralNMF.io.hdf5_image import hdf5_image
from neuralNMF.io.hdf5_rows import CompressedRows
from neuralNMF.io.side_by_side import SideBySide, chosen_genes
from neuralNMF.io.text import as_text
from neuralNMF.options import SIMULATED

logger = logging.getLogger(__name__)


def write_h5(
    path: str | Path,
    barcodes: Sequence[str],
    genes: Sequence[str],
    matrix: sp.spmatrix,
    *,
    simulated: bool = False,
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
    simulated : bool
        Whether the file is to be known as simulated counts, which may be written anew.

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
    with hdf5_image(path, SIMULATED if simulated else MARK) as file:
        group = file.create_group("matrix")
        for name, array in arrays.items():
            compression = "gzip" if array.size else None
            group.create_dataset(name, data=array, compression=compression, track_times=False)


def read_h5_version3(path: Path, file: h5py.File, genome: str | None) -> Contents:
    """Read a file with a group ``matrix``; its ``shape`` may be either way round.

    With `genome` only the genes of that one, where the file has several.
    """
    with readable(path):
        group = file["matrix"]
        check_inside(path, file, group)
        features = group["features"]
        barcodes, ids = _text(path, group["barcodes"]), _text(path, features["id"])
        symbols = _text(path, features["name"]) if "name" in features else ids
        types = _text(path, features["feature_type"]) if "feature_type" in features else None
        genomes = _text(path, features["genome"]) if "genome" in features else np.array([])
    known = [name for name in dict.fromkeys(genomes) if name]
    if genome is not None and genome not in known:
        raise InputError(
            f"'{path}' has no layers, but the layer '{genome}' was asked for: leave the layer out."
        )
    contents = _contents(path, group, barcodes, ids, symbols, types)
    if genome is not None:
        return chosen_genes(contents, np.flatnonzero(genomes == genome))
    if len(known) > 1:
        logger.info("%s: genes of %s, all are read", path, ", ".join(known))
    return contents


def read_h5_version2(path: Path, file: h5py.File, genome: str | None) -> Contents:
    """Read a file with one group a genome: the one that is named, or all if their cells agree.

    Raises
    ------
    InputError
        There is no such genome, or several have cells of their own and none is named.
    """
    with readable(path):
        genomes = [
            name
            for name, group in file.items()
            if isinstance(group, h5py.Group) and {"genes", "indptr"} <= set(group)
        ]
    if not genomes:
        raise InputError(_other_layout(path, file))
    if genome is not None and genome not in genomes:
        raise InputError(
            f"'{path}' has no genome '{genome}' to take for the layer: it has {', '.join(genomes)}."
        )
    parts = [_version2(path, file, name) for name in ([genome] if genome else genomes)]
    first = parts[0]
    if any(not np.array_equal(part.barcodes, first.barcodes) for part in parts):
        raise InputError(
            f"'{path}' holds the genomes {', '.join(genomes)}, each with cells of its own: name "
            f"one by `layer: {genomes[0]}` beside the path."
        )
    if len(parts) == 1:
        return first
    logger.info("%s: genes of %s, all are read", path, ", ".join(genomes))
    return Contents(
        SideBySide([part.matrix for part in parts]),
        first.barcodes,
        np.concatenate([part.gene_ids for part in parts]),
        np.concatenate([part.gene_symbols for part in parts]),
        where=" + ".join(genomes),
    )


def _version2(path: Path, file: h5py.File, genome: str) -> Contents:
    with readable(path):
        group = file[genome]
        check_inside(path, file, group)
        barcodes, ids = _text(path, group["barcodes"]), _text(path, group["genes"])
        symbols = _text(path, group["gene_names"]) if "gene_names" in group else ids
    return _contents(path, group, barcodes, ids, symbols, None)


def _text(path: Path, names: h5py.Dataset) -> np.ndarray:
    return as_text(np.atleast_1d(names[()]), path)


def _other_layout(path: Path, file: h5py.File) -> str:
    """What is said of an HDF5 file without counts, or with counts in a form that is not read."""
    found = sorted(file)
    if "molecule_info" in found or {"barcode_idx", "umi"} <= set(found):
        return (
            f"'{path}' is CellRanger's molecule_info: give filtered_feature_bc_matrix.h5, which "
            "lies beside it."
        )
    if {"assays", "meta.data"} <= set(found):
        return (
            f"'{path}' is an h5Seurat file: write it as .h5ad in R with SeuratDisk::Convert(..., "
            "dest = 'h5ad')."
        )
    there = ", ".join(found) or "nothing"
    return (
        f"'{path}' has none of the known HDF5 layouts: it needs a group 'matrix' (CellRanger "
        "3), a genome's group with 'genes' (CellRanger 2) or 'X', 'obs' and 'var' (AnnData), "
        f"but holds {there if len(there) < 100 else there[:97] + '...'}."
    )


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
