"""Writing the door of a data set in several files: all of it but the counts."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from neuralNMF.errors import InputError
from neuralNMF.io.atomic import atomic_path
from neuralNMF.io.checksums import add_checksums
from neuralNMF.io.dataset_writer import ALIGNMENT, write_indptr, write_tables
from neuralNMF.io.stored_parts import PLACE, Part, describe_part, folder_of, parts_text

# The arrays of X, and what they hold for programs that find no part: what no counts are.
_ARRAYS = {"data": np.float32(np.nan), "indices": np.int32(-1)}


def write_door(
    path: str | Path,
    parts: Sequence[str | Path],
    obs: pd.DataFrame,
    var: pd.DataFrame,
    info: dict[str, Any],
) -> None:
    """Write a data set whose counts lie in several files, whole or not at all.

    Memory: the tables and a few numbers a cell, none of the counts. ``X`` is there too, by HDF5's
    virtual datasets, so that AnnData reads the counts of all parts through this file.

    Parameters
    ----------
    path : str or Path
        Of the data set.
    parts : sequence of str or Path
        Data sets of the same genes that `DatasetWriter` wrote, ``part-*.h5ad`` in the folder of the
        same name without its ending, in the order of their cells.
    obs, var, info
        As `DatasetWriter.finish` takes them, of all cells.

    Raises
    ------
    InputError
        A part is missing or damaged, or lies elsewhere.
    ValueError
        The table does not fit the cells of the parts.
    """
    path = Path(path)
    described: list[Part] = []
    starts, nnz = [np.zeros(1, np.int64)], 0
    for place in map(Path, parts):
        if place.parent != folder_of(path):
            raise InputError(f"'{place}' is no part of '{path}': put it into '{folder_of(path)}'.")
        part, indptr = describe_part(place)
        starts.append(nnz + indptr[1:])
        nnz += part.nnz
        described.append(part)
    indptr = np.concatenate(starts)
    if len(obs) != indptr.size - 1:
        raise ValueError(f"a table of {len(obs)} cells for {indptr.size - 1}")
    with atomic_path(path) as temporary:
        # As in DatasetWriter: a page of its own for what is mapped, and none for each table.
        aligned = {"alignment_threshold": 1, "alignment_interval": ALIGNMENT}
        with h5py.File(temporary, "w", **aligned) as file:
            group = file.create_group("X")
            for name in _ARRAYS:
                _write_virtual(group, name, described, folder_of(path).name)
            write_indptr(group, indptr, len(var))
        with h5py.File(temporary, "r+") as file:
            write_tables(file, obs, var, info, uns={PLACE: parts_text(described)})
        add_checksums(temporary)


def _write_virtual(group: h5py.Group, name: str, parts: Sequence[Part], folder: str) -> None:
    """Write an array that consists of those of the parts, which HDF5 finds from where it lies.

    Without h5py's own way, which notes the time.
    """
    size = sum(part.nnz for part in parts)
    whole, plan = h5py.h5s.create_simple((size,)), h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plan.set_obj_track_times(False)
    plan.set_fill_value(np.array(_ARRAYS[name]))
    start = 0
    for part in parts:
        if part.nnz:
            whole.select_hyperslab((start,), (part.nnz,))
            source = h5py.h5s.create_simple((part.nnz,))
            plan.set_virtual(whole, f"{folder}/{part.name}".encode(), f"X/{name}".encode(), source)
        start += part.nnz
    whole.select_all()
    kind = h5py.h5t.py_create(_ARRAYS[name].dtype, logical=True)
    h5py.h5d.create(group.id, name.encode(), kind, whole, plan)
