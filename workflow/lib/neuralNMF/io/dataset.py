"""Reading the data set of a run, ``dataset.h5ad``: raw counts of the selected genes, mapped.

docs/architecture.md has the layout, under "Dataset".
"""

import json
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp

from neuralNMF.errors import InputError
from neuralNMF.io.checksums import Checksums, read_checksums
from neuralNMF.io.dataset_writer import DatasetWriter, write_dataset
from neuralNMF.io.elements import read_elem, read_table
from neuralNMF.io.faults import BROKEN
from neuralNMF.io.stored_counts import StoredCounts
from neuralNMF.io.stored_parts import StoredParts, read_parts
from neuralNMF.team import ALONE, Team

__all__ = ["Dataset", "DatasetWriter", "held_dataset", "open_dataset", "write_dataset"]


Stored = StoredCounts | StoredParts


@dataclass(frozen=True)
class Share:
    """Which of all cells of a data set a process of a team holds.

    Attributes
    ----------
    team : Team
        The processes that hold all cells together, in the order of the cells.
    first : int
        The number of the first of these cells among all.
    indptr : ndarray, (all cells + 1,)
        Where each of all cells begins among the non-zero counts; it may be a map.
    """

    team: Team
    first: int
    indptr: np.ndarray


@dataclass
class Dataset:
    """An opened ``dataset.h5ad``, or a data set in memory, or a range of the cells of one.

    Whether the counts lie in that file or in several beside it makes no difference. No file stays
    open, apart from the map once it is asked for.

    Attributes
    ----------
    path : Path
        The file.
    shape : (int, int)
        Cells N and genes M, of a range the cells in it.
    nnz : int
        Non-zero counts of these cells.
    obs : DataFrame
        One row a cell; its index: the barcodes.
    var : DataFrame
        One row a gene; its index: the gene ids.
    indptr : ndarray of int64, (N + 1,)
        Where each cell begins among the non-zero counts; of a range of cells it begins above zero.
    stored : StoredCounts, StoredParts or None
        The non-zero counts and their genes in the file, or in its parts; None of a data set in
        memory.
    notes : dict
        How it was made (``uns["dataset"]``): ``options``, how much each filter ``dropped``, and
        the size and CRC-32 of each of the ``inputs``.
    share : Share or None
        Of which cells these are a range, held with others; None where they are all.
    """

    path: Path
    shape: tuple[int, int]
    nnz: int
    obs: pd.DataFrame
    var: pd.DataFrame
    indptr: np.ndarray
    stored: Stored | None = None
    notes: dict[str, Any] = field(default_factory=dict)
    share: Share | None = None
    _held: tuple[np.ndarray, np.ndarray] | None = field(default=None, repr=False)

    @property
    def team(self) -> Team:
        """The processes that hold the cells together."""
        return ALONE if self.share is None else self.share.team

    @property
    def all_cells(self) -> int:
        """Cells of the data set, whoever holds them."""
        return self.shape[0] if self.share is None else self.share.indptr.size - 1

    @property
    def all_nonzeros(self) -> int:
        """Non-zero counts of the data set, whoever holds them."""
        return self.nnz if self.share is None else int(self.share.indptr[-1])

    def own(self, cells: np.ndarray) -> np.ndarray:
        """Those of some cells, numbered among all, that are held here, numbered among these."""
        if self.share is None:
            return cells
        numbers = cells - self.share.first
        return numbers[(numbers >= 0) & (numbers < self.shape[0])]

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        """Read all counts into memory, once.

        Returns
        -------
        indices : ndarray of int32, (nnz,)
            The gene of each non-zero count, rising within a cell.
        data : ndarray of float32, (nnz,)
            The counts.

        Raises
        ------
        InputError
            The file was damaged, replaced or cut off since it was written or opened.
        """
        return self._held or self._in_file().read(int(self.indptr[0]), int(self.indptr[-1]))

    def part(self, first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
        """Map the non-zeros ``first`` to ``last``, as ``indptr`` counts them, read-only.

        Raises
        ------
        InputError
            As `read`; each byte is looked at when it is asked for first.
        """
        if self._held is not None:
            return self._held[0][first:last], self._held[1][first:last]
        return self._in_file().part(first, last)

    def map(self) -> tuple[np.ndarray, np.ndarray]:
        """Map the same two arrays as `read` gives into memory, read-only."""
        return self.part(int(self.indptr[0]), int(self.indptr[-1]))

    def genes_found(self, cells: np.ndarray) -> Iterator[np.ndarray]:
        """The genes that are found in each of some cells, by number."""
        for cell in cells.tolist():
            yield self.part(int(self.indptr[cell]), int(self.indptr[cell + 1]))[0]

    def fingerprint(self) -> int:
        """A CRC-32 of the whole file, from the checksums in it; of its counts where it has none."""
        known = None if self.stored is None else self.stored.fingerprint()
        if known is not None:
            return known
        indices, data = self.map()
        return zlib.crc32(data.data, zlib.crc32(indices.data, zlib.crc32(self.indptr.data)))

    def release(self) -> None:
        """Give mapped pages back to the system, where it can; the map stays valid."""
        if self.stored is not None:
            self.stored.release()

    def _in_file(self) -> Stored:
        assert self.stored is not None
        return self.stored

    def rows(self, start: int, stop: int) -> sp.csr_matrix:
        """Counts of cells `start` to `stop`, (stop - start, M), from the map without a copy."""
        first, last = int(self.indptr[start]), int(self.indptr[stop])
        indices, data = self.part(first, last)
        indptr = self.indptr[start : stop + 1] - first
        if last - first <= np.iinfo(np.int32).max:
            indptr = indptr.astype(np.int32)  # the type of the indices, as scipy's kernels want it
        counts = sp.csr_matrix((stop - start, self.shape[1]), dtype=np.float32)
        # Set here, not given to the constructor, which copies a slice of a larger array.
        counts.data, counts.indices, counts.indptr = data, indices, indptr
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
    return Dataset(path, counts.shape, counts.nnz, obs, var, indptr, _held=arrays)


# From where all cells begin among the non-zeros, and the number of genes, to a first cell and the
# one past the last.
Choose = Callable[[np.ndarray, int], tuple[int, int]]


def open_dataset(path: str | Path, choose: Choose | None = None, team: Team = ALONE) -> Dataset:
    """Open a data set that `build_dataset` or `write_dataset` wrote.

    Parameters
    ----------
    path : str or Path
        Of the file.
    choose : callable or None
        Of (where each of all cells begins among the non-zeros, genes): the first cell and the one
        past the last that are opened; None opens all.
    team : Team
        The processes that hold all cells together, where a range of them is opened.

    Returns
    -------
    Dataset
        Its tables in memory, its counts still in the file.

    Raises
    ------
    InputError
        The file or one of its parts is missing or damaged, or was not laid out by this library.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"There is no data set '{path}': create it with create_dataset.")
    try:
        sums = read_checksums(path)
        if sums is not None:
            sums.check_start()
        with h5py.File(path, "r") as file:
            return _open(path, file, sums, choose, team)
    except InputError:
        raise
    except BROKEN as error:
        raise InputError(
            f"'{path}' is not a whole data set file ({error}): make it again with create_dataset."
        ) from error


def _open(
    path: Path, file: h5py.File, sums: Checksums | None, choose: Choose | None, team: Team
) -> Dataset:
    group = file["X"]
    stored = {name: group[name] for name in ("data", "indices", "indptr")}
    parts = read_parts(path, file)
    cells, genes = (int(size) for size in group.attrs["shape"])
    nnz = stored["data"].shape[0]
    if parts is None:
        _check_can_be_mapped(path, stored)
    share, own = None, slice(0, cells)
    if choose is not None:
        every = _map(path, stored["indptr"])
        own = slice(*choose(every, genes))
        share = Share(team, own.start, every)
    obs = read_table(file["obs"], None if share is None else own)
    var, ends = read_elem(file["var"]), stored["indptr"]
    indptr = ends[own.start : own.stop + 1].astype(np.int64)
    held = (cells, nnz)
    if parts is not None:
        held = sum(part.cells for part in parts), sum(part.nnz for part in parts)
    if (
        (len(obs), len(var), stored["indices"].shape) != (indptr.size - 1, genes, (nnz,))
        or (own.stop - own.start, ends.size) != (indptr.size - 1, cells + 1)
        or held != (cells, nnz)
        or (ends[0], ends[-1]) != (0, nnz)
        or (np.diff(indptr) < 0).any()
    ):
        raise InputError(
            f"'{path}' has parts that do not fit together (the matrix X, obs and var): make the "
            "data set again with create_dataset."
        )
    counts: Stored
    if parts is None:
        offsets = [stored[name].id.get_offset() or 0 for name in ("indices", "data")]
        counts = StoredCounts(path, nnz, genes, offsets[0], offsets[1], sums)
    else:
        counts = StoredParts(path, parts, genes, (int(indptr[0]), int(indptr[-1])), sums)
    return Dataset(
        path=path,
        shape=(indptr.size - 1, genes),
        nnz=int(indptr[-1] - indptr[0]),
        obs=obs,
        var=var,
        indptr=indptr,
        stored=counts,
        notes=json.loads(file["uns/dataset"].asstr()[()]),
        share=share,
    )


def _check_can_be_mapped(path: Path, stored: dict[str, h5py.Dataset]) -> None:
    for name, dtype in {"data": np.float32, "indices": np.int32}.items():
        array = stored[name]
        if array.dtype != dtype or array.chunks is not None or array.is_virtual:
            raise InputError(
                f"'{path}' holds '{name}' of X as {array.dtype}, compressed, in chunks or in other "
                "files, which cannot be memory-mapped: make the data set again with create_dataset."
            )


def _map(path: Path, stored: h5py.Dataset) -> np.ndarray:
    """An array of a file, mapped, so that only what is looked at is read."""
    offset = stored.id.get_offset()
    if offset is None:  # in chunks, as other programs may have written it
        return stored[:]
    return np.memmap(path, stored.dtype, "r", offset, stored.shape)
