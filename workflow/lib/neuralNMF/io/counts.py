"""Counts of any format, read in chunks of cells and checked."""

import logging
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp

from neuralNMF.errors import InputError
from neuralNMF.io.checksums import check_whole
from neuralNMF.io.contents import Contents, refuse_ranges
from neuralNMF.io.faults import readable
from neuralNMF.io.first_bytes import head_of, refuse_other
from neuralNMF.io.genes import gene_columns
from neuralNMF.io.h5 import read_h5_version2, read_h5_version3
from neuralNMF.io.h5ad import read_h5ad
from neuralNMF.io.hdf5 import is_hdf5, open_hdf5
from neuralNMF.io.loom import is_loom, read_loom
from neuralNMF.io.mtx import is_mtx, read_mtx
from neuralNMF.io.text_table import read_text_table
from neuralNMF.io.unchanged import State, check_unchanged, state_of
from neuralNMF.io.values import fault_of, off_whole
from neuralNMF.io.zarr_folders import is_zarr, read_zarr

logger = logging.getLogger(__name__)

EXACT = 1 << 24  # float32 holds all whole numbers below


class CountsReader:
    """Counts of N cells x M genes in a file or folder; use as a context manager.

    Where the format names feature types, only genes are served, not antibodies or guides.

    Attributes
    ----------
    path : Path
        The file or folder.
    shape : (int, int)
        Cells N and genes M.
    barcodes : ndarray of str, (N,)
        Names of the cells, each once.
    gene_ids : ndarray of str, (M,)
        Ids of the genes, each once.
    gene_symbols : ndarray of str, (M,)
        Names of the genes for people; several genes may share one.
    obs : DataFrame
        The user's columns, one row a cell; its index: the barcodes.
    """

    def __init__(self, path: Path, contents: Contents, before: State) -> None:
        self.path = path
        self._before = before
        self._contents = contents
        self._told: set[str] = set()
        self._columns = gene_columns(path, contents.feature_types)
        self.barcodes = contents.barcodes
        self.gene_ids = contents.gene_ids[self._columns]
        self.gene_symbols = contents.gene_symbols[self._columns]
        self.shape = (self.barcodes.size, self.gene_ids.size)
        if 0 in self.shape:
            raise InputError(
                f"'{path}' holds {self.shape[0]} cells and {self.shape[1]} genes: give a file with "
                "counts."
            )
        check_unchanged(path, before)  # names and counts are of one version
        _check_unique(path, self.barcodes, "cell", "obs_names_make_unique")
        _check_unique(path, self.gene_ids, "gene", "var_names_make_unique")
        obs = contents.obs if contents.obs is not None else pd.DataFrame(index=self.barcodes)
        self.obs = obs.set_axis(self.barcodes, axis=0)

    def chunks(
        self, cells: int, first: int = 0, past: int | None = None
    ) -> Iterator[tuple[int, sp.csr_matrix]]:
        """Read all cells in turn, or a range of them.

        Parameters
        ----------
        cells : int
            How many at once.
        first, past : int
            The first cell, and the one past the last; None for all that follow.

        Yields
        ------
        first : int
            The number of the first cell.
        counts : csr_matrix of float32, (n, M)
            With sorted indices and without stored zeros.

        Raises
        ------
        InputError
            A value is no count: not a number, not finite, negative or fractional.
        """
        past = self.shape[0] if past is None else past
        for start in range(first, past, cells):
            yield start, self.read(start, min(start + cells, past))

    def read(self, start: int, stop: int) -> sp.csr_matrix:
        """Read and check cells `start` to `stop`: (stop - start, M), as `chunks` gives them."""
        counts = self._contents.matrix.rows(start, stop)
        check_unchanged(self.path, self._before)
        if not isinstance(self._columns, slice):
            counts = counts[:, self._columns]
        self._check(counts, start)
        counts = counts.astype(np.float32)
        counts.sum_duplicates()
        counts.eliminate_zeros()
        return counts

    def _check(self, counts: sp.csr_matrix, start: int) -> None:
        """Refuse what is no count; numbers that are whole but for rounding become whole."""
        values = counts.data
        if values.dtype.kind not in "buif":
            raise InputError(f"{self._place()} holds '{values.dtype}', not numbers: give counts.")
        if fault := fault_of(values):
            self._refuse(counts, start, *fault)
        off = off_whole(values)
        if off.any():
            self._tell_once(
                "rounding",
                f"{self._place()} holds counts that are whole but for rounding, the farthest off "
                f"in its first cells by {off.max():.2g}: they are made whole",
            )
            counts.data = np.rint(values)
        if values.size and values.max() >= EXACT:
            self._tell_once(
                "exact",
                f"{self._place()} holds counts of 2^24 and more, which are kept to seven digits",
            )

    def _tell_once(self, what: str, sentence: str) -> None:
        if what not in self._told:
            self._told.add(what)
            logger.warning("%s", sentence)

    def _refuse(self, counts: sp.csr_matrix, start: int, kind: str, wrong: np.ndarray) -> None:
        """Raise InputError: where the first wrong value is, how many there are, what to do."""
        first = int(np.argmax(wrong))
        cell = int(np.searchsorted(counts.indptr, first, side="right")) - 1
        layers = self._contents.layers
        advice = "give raw counts"
        if layers is not None:
            known = f"it also has {', '.join(layers)}" if layers else "it has no other layer"
            advice = f"name the layer with the raw counts ({known})"
        guess = ""
        if kind == "fractional" and counts.data.max() < 20:
            guess = ", which looks normalised or log-transformed"
        raise InputError(
            f"{self._place()} holds {kind} values, first in cell '{self.barcodes[start + cell]}', "
            f"gene '{self.gene_ids[counts.indices[first]]}' ({counts.data[first]:.6g}), "
            f"{wrong.mean():.1%} of the non-zero values of cells {start + 1} to "
            f"{start + counts.shape[0]}{guess}: {advice}."
        )

    def _place(self) -> str:
        where = self._contents.where
        return f"'{self.path}' ({where})" if where else f"'{self.path}'"

    def close(self) -> None:
        """Close the file."""
        self._contents.matrix.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def open_counts(
    path: str | Path,
    layer: str | None = None,
    *,
    temporary: str | Path | None = None,
    by_range: bool = False,
) -> CountsReader:
    """Open counts of any known format: the format is told by the contents, not by the name.

    Parameters
    ----------
    path : str or Path
        docs/inputs.md has the formats.
    layer : str or None
        Of an ``.h5ad``: X (the default), a layer's name, or ``raw`` for ``raw.X``; of a loom file:
        a layer's name; of a CellRanger ``.h5`` with several genomes: the genome.
    temporary : str, Path or None
        Folder for the 20 bytes a non-zero that text and CSC matrices are sorted in by cell; by
        default the system's temporary folder.
    by_range : bool
        Whether only a range of the cells is to be read, so that a file that has to be read whole
        and sorted first is refused.

    Returns
    -------
    CountsReader
        To be closed, or used as a context manager.

    Raises
    ------
    InputError
        The file is missing, damaged, or of no known layout.
    """
    path = Path(path)
    before = state_of(path)
    if path.is_dir():
        if is_zarr(path):
            return _reader(path, read_zarr(path, layer, temporary, by_range=by_range), before)
        _refuse_layer(path, layer)
        if by_range:
            refuse_ranges(path, "a MatrixMarket folder")
        return _reader(path, read_mtx(path, temporary), before)
    if is_hdf5(path):
        with readable(path):
            check_whole(path)
        file = open_hdf5(path)
        try:
            contents = _read_hdf5(path, file, layer, temporary, by_range=by_range)
            return _reader(path, contents, before)
        except BaseException:
            file.close()
            raise
    refuse_other(path, head_of(path))
    _refuse_layer(path, layer)
    if by_range:
        refuse_ranges(path, "text")
    read_text = read_mtx if is_mtx(path) else read_text_table
    return _reader(path, read_text(path, temporary), before)


def _reader(path: Path, contents: Contents, before: State) -> CountsReader:
    """The reader of what a format's module found, which is let go if it cannot be used."""
    try:
        return CountsReader(path, contents, before)
    except BaseException:
        contents.matrix.close()
        raise


def _read_hdf5(
    path: Path,
    file: h5py.File,
    layer: str | None,
    temporary: str | Path | None,
    *,
    by_range: bool,
) -> Contents:
    with readable(path):
        anndata = ("obs" in file and "var" in file) or "mod" in file
        loom = is_loom(file)
        version3 = isinstance(file.get("matrix"), h5py.Group)
    if anndata:
        return read_h5ad(path, file, layer, temporary, by_range=by_range)
    if loom:
        return read_loom(path, file, layer)
    if version3:
        return read_h5_version3(path, file, layer)
    return read_h5_version2(path, file, layer)


def _refuse_layer(path: Path, layer: str | None) -> None:
    if layer is not None:
        raise InputError(
            f"'{path}' has no layers, but the layer '{layer}' was asked for: leave the layer out."
        )


def _check_unique(path: Path, names: np.ndarray, what: str, remedy: str) -> None:
    index = pd.Index(names)
    if not index.is_unique:
        twice = index[index.duplicated()]
        raise InputError(
            f"'{path}' has {twice.size} repeated {what} names, '{twice[0]}' for one: make them "
            f"unique (anndata's {remedy} does it)."
        )
