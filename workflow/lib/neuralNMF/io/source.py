"""Where the rows of counts come from: what every format is reduced to before it is checked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import h5py
import numpy as np
import scipy.sparse as sp

from neuralNMF.errors import InputError
from neuralNMF.io.spill import CsrSpill

if TYPE_CHECKING:
    import pandas as pd

DENSE_BLOCK = 1 << 23  # values of a dense matrix read at once: 64 MiB in float64


class RowSource(Protocol):
    """Rows of a cells x genes matrix of any number type, unchecked."""

    shape: tuple[int, int]

    def rows(self, start: int, stop: int) -> sp.csr_matrix:
        """Cells ``start`` to ``stop``, (stop - start, M)."""

    def close(self) -> None:
        """Let go of files."""


@dataclass
class Contents:
    """What a format's module found in a file; `CountsReader` checks and serves it.

    Attributes:
        source: the counts.
        barcodes, gene_ids, gene_symbols: names, str.
        obs: the user's columns, one row a cell; None where the format has none.
        where: the place of the counts within the file, for messages.
        layers: other places that may hold counts, for messages.
        feature_types: (M,) str, where the format names them.
    """

    source: RowSource
    barcodes: np.ndarray
    gene_ids: np.ndarray
    gene_symbols: np.ndarray
    obs: pd.DataFrame | None = None
    where: str = ""
    layers: list[str] = field(default_factory=list)
    feature_types: np.ndarray | None = None


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn the errors of broken HDF5 files into one sentence."""
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
    """CSR over cells in an HDF5 group with `data`, `indices`, `indptr`; ``indptr`` is in memory."""

    def __init__(self, path: Path, group: h5py.Group, shape: tuple[int, int]) -> None:
        self.path, self.shape = path, shape
        self.data, self.indices = group["data"], group["indices"]
        self.indptr = check_indptr(path, group, shape[0], "cells")
        self._file = group.file

    def rows(self, start: int, stop: int) -> sp.csr_matrix:
        """Cells ``start`` to ``stop``."""
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
    """A dense HDF5 array of cells x genes, read in blocks of `DENSE_BLOCK` values."""

    def __init__(self, path: Path, array: h5py.Dataset) -> None:
        self.path, self.array, self.shape = path, array, array.shape
        self._file = array.file

    def rows(self, start: int, stop: int) -> sp.csr_matrix:
        """Cells ``start`` to ``stop``."""
        step = max(1, DENSE_BLOCK // max(1, self.shape[1]))
        with readable(self.path):
            blocks = [
                sp.csr_matrix(self.array[i : min(i + step, stop)]) for i in range(start, stop, step)
            ]
        return sp.vstack(blocks, format="csr")

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class SpilledRows:
    """Rows from a temporary CSR file, for formats that are not sorted by cell."""

    def __init__(self, spill: CsrSpill) -> None:
        self._spill = spill
        self._indptr = spill.indptr()
        self.shape = (self._indptr.size - 1, spill.columns)

    def rows(self, start: int, stop: int) -> sp.csr_matrix:
        """Cells ``start`` to ``stop``."""
        return self._spill.rows(start, stop, self._indptr)

    def close(self) -> None:
        """Remove the temporary file."""
        self._spill.close()


def check_indptr(path: Path, group: h5py.Group, rows: int, what: str) -> np.ndarray:
    """`indptr` as int64, after checking that it fits the rows, `data` and `indices`."""
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


def check_range(path: Path, indices: np.ndarray, size: int, what: str) -> None:
    """Refuse indices outside 0 .. size - 1."""
    if indices.size and (indices.min() < 0 or indices.max() >= size):
        wrong = indices.max() if indices.max() >= size else indices.min()
        raise InputError(
            f"'{path}' has a count for {what} number {wrong + 1} but names {size} {what}s: write "
            "the file again with names and matrix of the same size."
        )


def as_text(names: np.ndarray) -> np.ndarray:
    """(n,) object array of str from HDF5's bytes."""
    names = np.asarray(names)
    if names.dtype.kind == "S":
        names = np.char.decode(names, "utf-8")
    return np.array([n.decode() if isinstance(n, bytes) else str(n) for n in names], dtype=object)
