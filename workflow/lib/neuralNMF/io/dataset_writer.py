"""Writing ``dataset.h5ad`` chunk by chunk, so that AnnData reads it and NumPy can map it."""

import json
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp

from neuralNMF.errors import InputError
from neuralNMF.io.atomic import atomic_path, check_room
from neuralNMF.io.checksums import add_checksums
from neuralNMF.io.elements import SLASH
from neuralNMF.io.temporary_csr import TemporaryCsr

ALIGNMENT = 4096  # bytes: a page, so that a map of one array shares no page with another


class DatasetWriter:
    """Appends chunks of cells; `finish` adds the tables and puts the file in its place.

    A context manager: leaving the block without `finish` leaves no file.

    Parameters
    ----------
    path : str or Path
        Of the data set.
    genes : int
        Columns M of every chunk.
    nnz : int or None
        Non-zeros to come. Known, they go straight to their place in the file. None: they wait in
        temporary files of the same folder, since HDF5 needs the size of a contiguous array ahead.
    """

    def __init__(self, path: str | Path, genes: int, nnz: int | None = None) -> None:
        self.path = Path(path)
        self.genes = genes
        self.nnz = nnz
        self._cells = 0
        self._position = 0
        self._row_nnz: list[np.ndarray] = []
        self._waiting: TemporaryCsr | None = None
        self._finished = False

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._temporary = stack.enter_context(atomic_path(self.path))
            # Threshold 1: also the small arrays of a small data set are aligned. The tables are
            # written later without it, since they would grow to a page an entry.
            self._file = h5py.File(
                self._temporary, "w", alignment_threshold=1, alignment_interval=ALIGNMENT
            )
            stack.callback(self._file.close)
            self._group = self._file.create_group("X")
            if self.nnz is None:
                waiting = TemporaryCsr(self.genes, self.path.parent)
                self._waiting = stack.enter_context(waiting)
            else:
                self._allocate(self.nnz)
            self._stack = stack.pop_all()
        return self

    def append(self, counts: sp.csr_matrix) -> None:
        """Add cells.

        Parameters
        ----------
        counts : csr_matrix, (n, M)
            Raw counts; columns in the order of the table of genes.

        Raises
        ------
        InputError
            The number of genes is another.
        ValueError
            There are more non-zeros than were announced.
        """
        if counts.shape[1] != self.genes:
            raise InputError(
                f"A chunk has {counts.shape[1]} genes, the data set has {self.genes}: give every "
                "chunk the columns of the data set."
            )
        if not counts.has_canonical_format:
            counts = counts.copy()
            counts.sum_duplicates()  # sorts too
        if self._waiting is not None:
            self._waiting.append(counts)
        else:
            stop = self._position + counts.nnz
            if stop > self.nnz:
                raise ValueError(f"{stop} non-zeros appended, {self.nnz} announced")
            self._group["data"][self._position : stop] = counts.data.astype(np.float32, copy=False)
            self._group["indices"][self._position : stop] = counts.indices.astype(
                np.int32, copy=False
            )
        self._position += counts.nnz
        self._row_nnz.append(np.diff(counts.indptr).astype(np.int64))
        self._cells += counts.shape[0]

    def finish(
        self,
        obs: pd.DataFrame,
        var: pd.DataFrame,
        info: dict[str, Any],
        **more: Mapping[str, Any],
    ) -> None:
        """Write the tables and close the file.

        Parameters
        ----------
        obs : DataFrame
            One row a cell appended.
        var : DataFrame
            One row a gene.
        info : dict
            JSON types, kept as text in ``uns["dataset"]``.
        **more : mapping
            What else AnnData has places for: ``obsm``, ``varm``, ``uns``.

        Raises
        ------
        ValueError
            The tables do not fit the counts, or fewer non-zeros came than were announced.
        """
        if len(obs) != self._cells or len(var) != self.genes:
            raise ValueError(
                f"tables of {len(obs)} cells and {len(var)} genes for {self._cells} x {self.genes}"
            )
        if self._waiting is not None:
            self._allocate(self._waiting.nnz)
            for start, indices, data in self._waiting.values():
                # data first, as in append: HDF5 gives out places in the order of first writing
                self._group["data"][start : start + data.size] = data
                self._group["indices"][start : start + indices.size] = indices
        elif self._position != self.nnz:
            raise ValueError(f"{self._position} non-zeros appended, {self.nnz} announced")
        indptr = np.cumsum(np.concatenate([np.zeros(1, np.int64), *self._row_nnz]))
        write_indptr(self._group, indptr, self.genes)
        self._file.close()
        with h5py.File(self._temporary, "r+") as file:
            write_tables(file, obs, var, info, **more)
            arrays = [file["X"][name] for name in ("data", "indices")]
            starts = [array.id.get_offset() or 0 for array in arrays]
            ends = [start + 4 * array.size for start, array in zip(starts, arrays, strict=True)]
        # Those of the two arrays are looked at where they are used.
        add_checksums(self._temporary, later=(min(starts), max(ends)))
        self._finished = True

    def _allocate(self, nnz: int) -> None:
        check_room(self.path, 8 * nnz)
        self._group.create_dataset("data", (nnz,), np.float32, track_times=False)
        self._group.create_dataset("indices", (nnz,), np.int32, track_times=False)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None and not self._finished:
            kind, error = RuntimeError, RuntimeError("the data set was not finished")
            self._stack.__exit__(kind, error, None)
            raise error
        self._stack.__exit__(kind, error, trace)


def write_indptr(group: h5py.Group, indptr: np.ndarray, genes: int) -> None:
    """Say where each cell begins (N + 1,), and that a group is a CSR matrix of so many genes."""
    # scipy refuses many operations where indptr and indices differ in type.
    narrow = indptr[-1] <= np.iinfo(np.int32).max
    stored = indptr.astype(np.int32) if narrow else indptr
    group.create_dataset("indptr", data=stored, track_times=False)
    group.attrs["encoding-type"] = "csr_matrix"
    group.attrs["encoding-version"] = "0.1.0"
    group.attrs["shape"] = np.array([indptr.size - 1, genes], dtype=np.int64)


def write_tables(
    file: h5py.File,
    obs: pd.DataFrame,
    var: pd.DataFrame,
    info: dict[str, Any],
    **more: Mapping[str, Any],
) -> None:
    """Write all of a data set but X; the parameters are those of `DatasetWriter.finish`."""
    # Only here: reading a data set, which most jobs do, needs no AnnData.
    from anndata.io import write_elem

    file.attrs["encoding-type"] = "anndata"
    file.attrs["encoding-version"] = "0.1.0"
    write_elem(file, "obs", storable(obs))
    write_elem(file, "var", storable(var))
    for name in ("layers", "obsm", "obsp", "varm", "varp"):
        write_elem(file, name, dict(more.get(name, {})))
    told = {"dataset": json.dumps(info, sort_keys=True)}
    write_elem(file, "uns", told | dict(more.get("uns", {})))


def storable(table: pd.DataFrame) -> pd.DataFrame:
    """Copy a table as every version of AnnData writes and reads it; `read_table` reads it back.

    Text (missing values allowed) becomes categories, whatever pandas keeps it in; a ``/`` in a
    column's name becomes a sign that looks like it.
    """
    columns = {str(name).replace("/", SLASH): _storable(column) for name, column in table.items()}
    return pd.DataFrame(columns, index=table.index.astype(str).astype(object))


def _storable(column: pd.Series) -> pd.api.extensions.ExtensionArray | np.ndarray:
    """A column's values; text as categories that are plain objects."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        values, names = column.array, column.cat.categories
        if names.dtype.kind in "buif":
            return values
        return values.rename_categories(pd.Index(names.astype(str), dtype=object))
    if column.dtype == object or isinstance(column.dtype, pd.StringDtype):
        text = column.astype(object)
        text = text.where(text.isna(), text.astype(str))
        names = pd.Index(sorted(text.dropna().unique()), dtype=object)
        return pd.Categorical(text, categories=names)
    return column.array


def write_dataset(
    path: str | Path,
    counts: sp.csr_matrix,
    obs: pd.DataFrame | None = None,
    var: pd.DataFrame | None = None,
    info: dict[str, Any] | None = None,
) -> None:
    """Write a data set from counts in memory.

    Parameters
    ----------
    path : str or Path
        Of the data set.
    counts : csr_matrix, (N, M)
        Raw counts.
    obs, var : DataFrame or None
        Tables of cells and of genes. Columns that every data set has are filled in where they are
        missing; without a table, cells and genes are numbered.
    info : dict or None
        JSON types, kept as text in ``uns["dataset"]``.
    """
    counts = sp.csr_matrix(counts)
    cells, genes = counts.shape
    totals = np.asarray(counts.sum(axis=1, dtype=np.float64)).ravel()
    mean = np.asarray(counts.sum(axis=0, dtype=np.float64)).ravel() / max(cells, 1)
    squares = counts.astype(np.float64).power(2).sum(axis=0)
    variance = np.maximum(np.asarray(squares).ravel() / max(cells, 1) - mean**2, 0.0)
    if obs is None:
        obs = pd.DataFrame(index=[f"cell{i}" for i in range(cells)])
    if var is None:
        var = pd.DataFrame(index=[f"gene{j}" for j in range(genes)])
    names = var.index.astype(str).to_numpy()
    obs = _fill(
        obs,
        dataset=pd.Categorical(["data"] * cells),
        total_counts=totals,
        selected_counts=totals,
    )
    var = _fill(
        var,
        gene_id=names,
        symbol=names,
        mean=mean,
        variance=variance,
        n_cells=np.bincount(counts.indices[counts.data != 0], minlength=genes).astype(np.int64),
        variable_score=np.full(genes, np.nan),
        selected=pd.Categorical(["all"] * genes),
    )
    with DatasetWriter(path, genes, counts.nnz if counts.has_canonical_format else None) as writer:
        writer.append(counts)
        writer.finish(obs, var, info or {})


def _fill(table: pd.DataFrame, **columns: Any) -> pd.DataFrame:
    """Put `columns` first (the table's own values where it has them), then the other ones."""
    index = table.index
    given = {
        name: table[name] if name in table else pd.Series(values, index=index)
        for name, values in columns.items()
    }
    given.update({name: table[name] for name in table if name not in columns})
    return pd.DataFrame(given, index=index)
