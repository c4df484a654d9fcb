"""Where in a file counts may lie, and what the numbers there look like, before any is chosen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from neuralNMF.io.faults import readable
from neuralNMF.io.h5ad import anndata_of_genes, places_of_counts
from neuralNMF.io.hdf5 import check_inside, is_hdf5, open_hdf5
from neuralNMF.io.hdf5_rows import is_array, native
from neuralNMF.io.loom import is_loom
from neuralNMF.io.values import fault_of
from neuralNMF.io.zarr_folders import is_zarr, open_zarr

SPOTS = 8  # of a matrix that are looked at
VALUES = 50_000  # stored values a spot


@dataclass(frozen=True)
class Place:
    """A matrix of a file that may hold the counts.

    Attributes
    ----------
    layer : str
        Its name, as `open_counts` takes it.
    genes : int
        How many genes it has, M.
    fault : str
        What speaks against raw counts (``fractional``, ``negative``, ...); '' where nothing does.
    largest : float
        The largest value that was seen.
    """

    layer: str
    genes: int
    fault: str
    largest: float


def places_of(path: str | Path) -> list[Place]:
    """Look into every matrix of a file that may hold the counts: some of its values, not all.

    Parameters
    ----------
    path : str or Path
        Of an AnnData, MuData or loom file, or of a zarr folder. Other formats have one place, of
        which nothing need be said.

    Returns
    -------
    list of Place
        In the order of the file: X first, then layers, then ``raw``. Empty for other formats.

    Raises
    ------
    InputError
        The file is missing or damaged.
    """
    path = Path(path)
    with readable(path):
        path.stat()
        zarr = path.is_dir() and is_zarr(path)
    if zarr:
        return _of_anndata(path, open_zarr(path))
    if path.is_dir() or not is_hdf5(path):
        return []
    with open_hdf5(path) as file:
        with readable(path):
            anndata = ("obs" in file and "var" in file) or "mod" in file
            loom = is_loom(file)
        if anndata:
            return _of_anndata(path, file)
        return _of_loom(path, file) if loom else []


def _of_anndata(path: Path, root: Any) -> list[Place]:
    with readable(path):
        root = anndata_of_genes(path, root)
        places = places_of_counts(root)
    return [_place(path, root, name, where) for name, (where, _) in places.items()]


def _of_loom(path: Path, file: Any) -> list[Place]:
    with readable(path):
        layers = sorted(file["layers"]) if "layers" in file else []
    names = {"matrix": "matrix", **{name: f"layers/{name}" for name in layers}}
    return [_place(path, file, name, where, genes=0) for name, where in names.items()]


def _place(path: Path, root: Any, name: str, where: str, genes: int = 1) -> Place:
    """Look at one matrix; `genes` says along which of its axes these are."""
    with readable(path):
        matrix = root[where]
        if isinstance(root, h5py.Group):
            check_inside(path, root, matrix)
        dense = is_array(matrix)
        shape = (
            matrix.shape if dense else matrix.attrs.get("shape", matrix.attrs.get("h5sparse_shape"))
        )
        found = [_looked_at(values) for values in _spots(matrix if dense else matrix["data"])]
    fault = next((fault for fault, _ in found if fault), "")
    largest = max((value for _, value in found), default=0.0)
    return Place(name, 0 if shape is None else int(shape[genes]), fault, largest)


def _looked_at(values: np.ndarray) -> tuple[str, float]:
    if values.dtype.kind not in "buif":
        return "no numbers", 0.0
    values = native(values)
    found = fault_of(values)
    return ("" if found is None else found[0]), float(values.max(initial=0))


def _spots(array: Any) -> Iterator[np.ndarray]:
    """Some of an array's values, of rows far from each other."""
    rows = array.shape[0]
    width = int(np.prod(array.shape[1:])) or 1
    step = max(1, VALUES // width)
    for start in dict.fromkeys(int(s) for s in np.linspace(0, max(0, rows - step), SPOTS)):
        yield array[start : start + step]
