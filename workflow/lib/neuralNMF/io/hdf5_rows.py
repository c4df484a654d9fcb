"""Rows of counts straight from HDF5 files, compressed or dense, and how their faults are told."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
import scipy.sparse as sp

from neuralNMF.errors import InputError
from neuralNMF.io.contents import check_range

DENSE_BLOCK = 1 << 23  # values of a dense matrix read at once: 64 MiB in float64


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn the errors of broken HDF5 files into an InputError of one sentence."""
    try:
        yield
    except KeyError as error:
        raise InputError(
            f"'{path}' lacks a part of its layout ({error.args[0]}): write the file again with "
            "the program that made it."
        ) from error
    except (OSError, RuntimeError) as error:
        raise InputError(
            f"'{path}' is truncated or damaged ({error}): copy or download it again."
        ) from error


class CompressedRows:
    """CSR over cells in an HDF5 group with ``data``, ``indices`` and ``indptr``: a `RowSource`.

    Only ``indptr`` is held in memory.

    Parameters
    ----------
    path : Path
        Of the file, for messages.
    group : h5py.Group
        Of an open file, which `close` closes.
    shape : (int, int)
        Cells N and genes M.
    """

    def __init__(self, path: Path, group: h5py.Group, shape: tuple[int, int]) -> None:
        self.path, self.shape = path, shape
        self.data, self.indices = group["data"], group["indices"]
        self.indptr = check_indptr(path, group, shape[0], "cells")
        self._file = group.file

    def rows(self, start: int, stop: int) -> sp.csr_matrix:
        """Cells `start` to `stop`, (stop - start, M)."""
        first, last = int(self.indptr[start]), int(self.indptr[stop])
        with readable(self.path):
            data, indices = self.data[first:last], self.indices[first:last]
        check_range(self.path, indices, self.shape[1], "gene")
        return sp.csr_matrix(
            (data, indices, self.indptr[start : stop + 1] - first),
            shape=(stop - start, self.shape[1]),
        )

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class DenseRows:
    """A dense HDF5 array of cells x genes, read in blocks of `DENSE_BLOCK` values: a `RowSource`.

    Parameters
    ----------
    path : Path
        Of the file, for messages.
    array : h5py.Dataset
        Of an open file, which `close` closes; (N, M).
    """

    def __init__(self, path: Path, array: h5py.Dataset) -> None:
        self.path, self.array, self.shape = path, array, array.shape
        self._file = array.file

    def rows(self, start: int, stop: int) -> sp.csr_matrix:
        """Cells `start` to `stop`, (stop - start, M)."""
        step = max(1, DENSE_BLOCK // max(1, self.shape[1]))
        with readable(self.path):
            blocks = [
                sp.csr_matrix(self.array[i : min(i + step, stop)]) for i in range(start, stop, step)
            ]
        return sp.vstack(blocks, format="csr")

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def check_indptr(path: Path, group: h5py.Group, rows: int, what: str) -> np.ndarray:
    """Read where each row of a compressed matrix begins, and check that it fits the rest.

    Parameters
    ----------
    path : Path
        Of the file, for messages.
    group : h5py.Group
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
        ``indptr`` does not fit the rows, ``data`` or ``indices``.
    """
    with readable(path):
        indptr = group["indptr"][:].astype(np.int64)
        stored, columns = group["data"].size, group["indices"].size
    if indptr.size != rows + 1:
        raise InputError(
            f"'{path}' names {rows} {what} but '{group.name}/indptr' counts {indptr.size - 1}: "
            "write the file again with names and matrix of the same size."
        )
    if stored != columns or indptr[0] != 0 or indptr[-1] != stored or (np.diff(indptr) < 0).any():
        raise InputError(
            f"'{path}' has {stored} values and {columns} indices in '{group.name}' where 'indptr' "
            f"announces {indptr[-1]}: the file is incomplete, copy or write it again."
        )
    return indptr


def as_text(names: np.ndarray) -> np.ndarray:
    """HDF5's bytes as str, in an object array of the same length."""
    names = np.asarray(names)
    if names.dtype.kind == "S":
        names = np.char.decode(names, "utf-8")
    return np.array([n.decode() if isinstance(n, bytes) else str(n) for n in names], dtype=object)
