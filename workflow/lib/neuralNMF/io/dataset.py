"""Reading the data set of a run, ``dataset.h5ad``: raw counts of the selected genes, mapped.

docs/architecture.md has the layout, under "Dataset".
"""

import mmap
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp

from neuralNMF.errors import InputError
from neuralNMF.io.dataset_writer import DatasetWriter, write_dataset
from neuralNMF.io.elements import read_elem, read_table

__all__ = ["Dataset", "DatasetWriter", "held_dataset", "open_dataset", "write_dataset"]


@dataclass
class Dataset:
    """An opened ``dataset.h5ad``, or a data set in memory.

    No file stays open, apart from the map once it is asked for.

    Attributes
    ----------
    path : Path
        The file.
    shape : (int, int)
        Cells N and genes M.
    nnz : int
        Non-zero counts.
    obs : DataFrame
        One row a cell; its index: the barcodes.
    var : DataFrame
        One row a gene; its index: the gene ids.
    indptr : ndarray of int64, (N + 1,)
        Where each cell begins among the non-zero counts.
    indices_offset, data_offset : int
        Bytes from the file's beginning to the column numbers and to the counts.
    """

    path: Path
    shape: tuple[int, int]
    nnz: int
    obs: pd.DataFrame
    var: pd.DataFrame
    indptr: np.ndarray
    indices_offset: int
    data_offset: int
    _pages: mmap.mmap | None = field(default=None, repr=False)
    _held: tuple[np.ndarray, np.ndarray] | None = field(default=None, repr=False)

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        """Read all counts into memory, once.

        Returns
        -------
        indices : ndarray of int32, (nnz,)
            The gene of each non-zero count, rising within a cell.
        data : ndarray of float32, (nnz,)
            The counts.
        """
        if self._held is not None:
            return self._held
        indices = np.fromfile(self.path, np.int32, self.nnz, offset=self.indices_offset)
        data = np.fromfile(self.path, np.float32, self.nnz, offset=self.data_offset)
        return indices, data

    def map(self) -> tuple[np.ndarray, np.ndarray]:
        """Map the same two arrays as `read` gives into memory, read-only."""
        if self._held is not None:
            return self._held
        if self.nnz == 0:
            return np.empty(0, np.int32), np.empty(0, np.float32)
        if self._pages is None:
            with self.path.open("rb") as file:
                self._pages = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        indices = np.frombuffer(self._pages, np.int32, self.nnz, self.indices_offset)
        data = np.frombuffer(self._pages, np.float32, self.nnz, self.data_offset)
        return indices, data

    def release(self) -> None:
        """Give mapped pages back to the system, where it can; the map stays valid."""
        if self._pages is not None and hasattr(mmap, "MADV_DONTNEED"):
            self._pages.madvise(mmap.MADV_DONTNEED)

    def rows(self, start: int, stop: int) -> sp.csr_matrix:
        """Counts of cells `start` to `stop`, (stop - start, M), from the map without a copy."""
        indices, data = self.map()
        first, last = int(self.indptr[start]), int(self.indptr[stop])
        indptr = self.indptr[start : stop + 1] - first
        if last - first <= np.iinfo(np.int32).max:
            indptr = indptr.astype(np.int32)  # the type of the indices, as scipy's kernels want it
        counts = sp.csr_matrix((stop - start, self.shape[1]), dtype=np.float32)
        # Set here, not given to the constructor, which copies a slice of a larger array.
        counts.data, counts.indices, counts.indptr = data[first:last], indices[first:last], indptr
        counts.has_sorted_indices = True
        counts.has_canonical_format = True
        return counts


def held_dataset(
    counts: sp.csr_matrix, obs: pd.DataFrame, var: pd.DataFrame, path: Path
) -> Dataset:
    """A data set in memory, for fits of some cells or counts of another one.

    Parameters
    ----------
    counts : csr_matrix, (N, M)
        Raw counts with sorted indices; not copied where they are float32 and their columns int32.
    obs, var : DataFrame
        With the columns of every data set.
    path : Path
        Of the data set that they are from, for messages.
    """
    arrays = counts.indices.astype(np.int32, copy=False), counts.data.astype(np.float32, copy=False)
    indptr = counts.indptr.astype(np.int64)
    return Dataset(path, counts.shape, counts.nnz, obs, var, indptr, 0, 0, _held=arrays)


def open_dataset(path: str | Path) -> Dataset:
    """Open a data set that `build_dataset` or `write_dataset` wrote.

    Parameters
    ----------
    path : str or Path
        Of the file.

    Returns
    -------
    Dataset
        Its tables in memory, its counts still in the file.

    Raises
    ------
    InputError
        The file is missing, or was not laid out by this library.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"There is no data set '{path}': create it with create_dataset.")
    try:
        with h5py.File(path, "r") as file:
            return _open(path, file)
    except (OSError, KeyError, TypeError) as error:
        raise InputError(
            f"'{path}' is not a whole data set file ({error}): make it again with create_dataset."
        ) from error


def _open(path: Path, file: h5py.File) -> Dataset:
    group = file["X"]
    stored = {name: group[name] for name in ("data", "indices", "indptr")}
    wanted = {"data": np.float32, "indices": np.int32}
    cells, genes = (int(size) for size in group.attrs["shape"])
    nnz = stored["data"].shape[0]
    for name, dtype in wanted.items():
        array = stored[name]
        if array.dtype != dtype or array.chunks is not None:
            raise InputError(
                f"'{path}' holds '{name}' of X as {array.dtype}, compressed or in chunks, which "
                "cannot be memory-mapped: make the data set again with create_dataset."
            )
    return Dataset(
        path=path,
        shape=(cells, genes),
        nnz=nnz,
        obs=read_table(file["obs"]),
        var=read_elem(file["var"]),
        indptr=stored["indptr"][:].astype(np.int64),
        indices_offset=stored["indices"].id.get_offset() or 0,
        data_offset=stored["data"].id.get_offset() or 0,
    )
