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
from neuralNMF.io.contents import Contents
from neuralNMF.io.h5 import read_h5_version2, read_h5_version3
from neuralNMF.io.h5ad import read_h5ad
from neuralNMF.io.mtx import read_mtx

logger = logging.getLogger(__name__)

GENE_EXPRESSION = "Gene Expression"


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

    def __init__(self, path: Path, contents: Contents) -> None:
        self.path = path
        self._contents = contents
        self._columns = _expressed(path, contents.feature_types)
        self.barcodes = contents.barcodes
        self.gene_ids = contents.gene_ids[self._columns]
        self.gene_symbols = contents.gene_symbols[self._columns]
        self.shape = (self.barcodes.size, self.gene_ids.size)
        if 0 in self.shape:
            raise InputError(
                f"'{path}' holds {self.shape[0]} cells and {self.shape[1]} genes: give a file with "
                "counts."
            )
        _check_unique(path, self.barcodes, "cell", "obs_names_make_unique")
        _check_unique(path, self.gene_ids, "gene", "var_names_make_unique")
        obs = contents.obs if contents.obs is not None else pd.DataFrame(index=self.barcodes)
        self.obs = obs.set_axis(self.barcodes, axis=0)

    def chunks(self, cells: int) -> Iterator[tuple[int, sp.csr_matrix]]:
        """Read all cells in turn.

        Parameters
        ----------
        cells : int
            How many at once.

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
        for start in range(0, self.shape[0], cells):
            stop = min(start + cells, self.shape[0])
            counts = self._contents.matrix.rows(start, stop)
            if not isinstance(self._columns, slice):
                counts = counts[:, self._columns]
            self._check(counts, start)
            counts = counts.astype(np.float32)
            counts.sum_duplicates()
            counts.eliminate_zeros()
            yield start, counts

    def _check(self, counts: sp.csr_matrix, start: int) -> None:
        values = counts.data
        if values.dtype.kind not in "buif":
            raise InputError(f"{self._place()} holds '{values.dtype}', not numbers: give counts.")
        tests = {
            "NaN or infinite": lambda: ~np.isfinite(values),
            "negative": lambda: values < 0,
            "fractional": lambda: values != np.rint(values),
        }
        kinds = {"f": list(tests), "i": ["negative"]}.get(values.dtype.kind, [])
        for kind in kinds:
            wrong = tests[kind]()
            if wrong.any():
                self._refuse(counts, start, kind, wrong)

    def _refuse(self, counts: sp.csr_matrix, start: int, kind: str, wrong: np.ndarray) -> None:
        """Raise InputError: where the first wrong value is, how many there are, what to do."""
        first = int(np.argmax(wrong))
        cell = int(np.searchsorted(counts.indptr, first, side="right")) - 1
        layers = self._contents.layers
        advice = "give raw counts"
        if self._contents.where:
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
    path: str | Path, layer: str | None = None, *, temporary: str | Path | None = None
) -> CountsReader:
    """Open counts of any known format: the format is told by the contents, not by the name.

    Parameters
    ----------
    path : str or Path
        ``.h5`` of CellRanger 3 or 2 or of the original program, ``.h5ad``, or a folder with
        ``matrix.mtx`` (or the path of that file).
    layer : str or None
        Of an ``.h5ad``: X (the default), a layer's name, or ``raw`` for ``raw.X``.
    temporary : str, Path or None
        Folder for the 20 bytes a non-zero that MTX folders and CSC matrices are sorted in by cell;
        by default the system's temporary folder.

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
    if path.name in ("matrix.mtx", "matrix.mtx.gz"):
        path = path.parent
    if not path.exists():
        raise InputError(f"There is no file or folder '{path}': check the path in the config.")
    if path.is_dir():
        _refuse_layer(path, layer)
        return CountsReader(path, read_mtx(path, temporary))
    if not h5py.is_hdf5(path):
        raise InputError(
            f"'{path}' is no HDF5 file: give counts as CellRanger .h5, .h5ad or an MTX folder."
        )
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise InputError(
            f"'{path}' is truncated or damaged ({error}): copy or download it again."
        ) from error
    try:
        return CountsReader(path, _read_hdf5(path, file, layer, temporary))
    except BaseException:
        file.close()
        raise


def _read_hdf5(
    path: Path, file: h5py.File, layer: str | None, temporary: str | Path | None
) -> Contents:
    if "obs" in file and "var" in file:
        return read_h5ad(path, file, layer, temporary)
    _refuse_layer(path, layer)
    if isinstance(file.get("matrix"), h5py.Group):
        return read_h5_version3(path, file)
    return read_h5_version2(path, file)


def _refuse_layer(path: Path, layer: str | None) -> None:
    if layer is not None:
        raise InputError(
            f"'{path}' has no layers, but the layer '{layer}' was asked for: leave the layer out."
        )


def _expressed(path: Path, types: np.ndarray | None) -> slice | np.ndarray:
    """The columns that are genes, all of them where the file does not say."""
    if types is None or (types == types[:1]).all():
        return slice(None)
    columns = np.flatnonzero(types == GENE_EXPRESSION)
    logger.info(
        "%s: %d of %d features are genes, the others (%s) are left out",
        path,
        columns.size,
        types.size,
        ", ".join(sorted(set(types) - {GENE_EXPRESSION})),
    )
    return columns


def _check_unique(path: Path, names: np.ndarray, what: str, remedy: str) -> None:
    index = pd.Index(names)
    if not index.is_unique:
        twice = index[index.duplicated()]
        raise InputError(
            f"'{path}' has {twice.size} repeated {what} names, '{twice[0]}' for one: make them "
            f"unique (anndata's {remedy} does it)."
        )
