"""Rows of counts straight from HDF5 or zarr, compressed or dense."""

from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from neuralNMF.errors import InputError
from neuralNMF.io.contents import check_range
from neuralNMF.io.faults import readable

DENSE_BLOCK = 1 << 23  # values of a dense matrix read at once: 64 MiB in float64


class CompressedRows:
    """CSR over cells in a group with ``data``, ``indices`` and ``indptr``: a `RowSource`.

    Only ``indptr`` is held in memory.

    Parameters
    ----------
    path : Path
        Of the file, for messages.
    group : h5py.Group or zarr.Group
        Of an open file, which `close` closes.
    shape : (int, int)
        Cells N and genes M.
    """

    def __init__(self, path: Path, group: Any, shape: tuple[int, int]) -> None:
        self.path, self.shape = path, shape
        self.indptr = check_indptr(path, group, shape[0], "cells")
        self.data, self.indices = group["data"], group["indices"]
        self._file = getattr(group, "file", None)

    def rows(self, start: int, stop: int) -> sp.csr_matrix:
        """Cells `start` to `stop`, (stop - start, M)."""
        first, last = int(self.indptr[start]), int(self.indptr[stop])
        with readable(self.path):
            data = native(self.data[first:last])
            indices = whole(self.path, self.indices[first:last], "indices")
        check_range(self.path, indices, self.shape[1], "gene")
        return sp.csr_matrix(
            (data, indices, self.indptr[start : stop + 1] - first),
            shape=(stop - start, self.shape[1]),
        )

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()


class DenseRows:
    """A dense array of cells x genes, read in blocks of `DENSE_BLOCK` values: a `RowSource`.

    Parameters
    ----------
    path : Path
        Of the file, for messages.
    array : h5py.Dataset or zarr.Array
        Of an open file, which `close` closes; (N, M).
    genes_first : bool
        Whether it lies the other way round, (M, N).
    """

    def __init__(self, path: Path, array: Any, *, genes_first: bool = False) -> None:
        check_numbers(path, array, array.name)
        self.path, self.array, self.genes_first = path, array, genes_first
        self.shape = array.shape[::-1] if genes_first else array.shape
        self._file = getattr(array, "file", None)

    def rows(self, start: int, stop: int) -> sp.csr_matrix:
        """Cells `start` to `stop`, (stop - start, M)."""
        step = max(1, DENSE_BLOCK // max(1, self.shape[1]))
        edges = [*range(start, stop, step), stop]
        with readable(self.path):
            blocks = [
                sp.csr_matrix(native(self._block(first, last)))
                for first, last in zip(edges[:-1], edges[1:], strict=True)
            ]
        return sp.vstack(blocks, format="csr")

    def _block(self, start: int, stop: int) -> np.ndarray:
        return self.array[:, start:stop].T if self.genes_first else self.array[start:stop]

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()


def check_indptr(path: Path, group: Any, rows: int, what: str) -> np.ndarray:
    """Read where each row of a compressed matrix begins, and check that it fits the rest.

    Parameters
    ----------
    path : Path
        Of the file, for messages.
    group : h5py.Group or zarr.Group
        With ``data``, ``indices`` and ``indptr``.
    rows : int
        How many there should be.
    what : str
        What a row is, for messages: ``cells`` or ``genes``.

    Returns
    -------
    ndarray of int64, (rows + 1,)
        The ``indptr``.

    Raises
    ------
    InputError
        ``indptr`` does not fit the rows, ``data`` or ``indices``, or ``data`` are no numbers.
    """
    with readable(path):
        data, indices, indptr = group["data"], group["indices"], group["indptr"]
        check_numbers(path, data, group.name)
        stored, columns, announced = data.size, indices.size, indptr.size - 1
    if announced != rows:
        raise InputError(
            f"'{path}' names {rows} {what} but '{group.name}/indptr' counts {announced}: "
            "write the file again with names and matrix of the same size."
        )
    with readable(path):
        starts = whole(path, indptr[:], "indptr").astype(np.int64)
    if stored != columns or starts[0] != 0 or starts[-1] != stored or (np.diff(starts) < 0).any():
        raise InputError(
            f"'{path}' has {stored} values and {columns} indices in '{group.name}' where 'indptr' "
            f"announces {starts[-1]}: the file is incomplete, copy or write it again."
        )
    return starts


def is_array(stored: Any) -> bool:
    """Whether something in an HDF5 file or a zarr folder is an array, and not a group."""
    return hasattr(stored, "shape")


def check_numbers(path: Path, array: Any, name: str) -> None:
    """Raise InputError where an array of counts holds no numbers."""
    if array.dtype.kind not in "buif":
        raise InputError(f"'{path}' ({name}) holds '{array.dtype}', not numbers: give counts.")


def native(values: np.ndarray) -> np.ndarray:
    """Numbers in a type and byte order that SciPy works with, unchanged in value."""
    dtype = values.dtype.newbyteorder("=")
    if dtype.kind == "f" and dtype.itemsize not in (4, 8):
        dtype = np.dtype(np.float32 if dtype.itemsize < 4 else np.float64)
    return values.astype(dtype, copy=False)


def whole(path: Path, numbers: np.ndarray, name: str) -> np.ndarray:
    """Positions as integers, also where a program wrote them as floats; InputError otherwise."""
    if numbers.dtype.kind == "f" and (np.isfinite(numbers) & (numbers == np.rint(numbers))).all():
        return numbers.astype(np.int64)
    if numbers.dtype.kind not in "iu":
        raise InputError(
            f"'{path}' has '{name}' that are no whole numbers: the file is damaged, write it again."
        )
    return native(numbers)
