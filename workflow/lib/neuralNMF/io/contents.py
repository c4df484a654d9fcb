"""What every format of counts is reduced to: names, tables, and rows of an unchecked matrix."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, Protocol

import numpy as np
import scipy.sparse as sp

from neuralNMF.errors import InputError

if TYPE_CHECKING:  # writing simulated counts needs none of it
    import pandas as pd


class RowSource(Protocol):
    """Rows of a cells x genes matrix (N, M) of any number type, unchecked."""

    def rows(self, start: int, stop: int) -> sp.csr_matrix:
        """Cells `start` to `stop`, (stop - start, M)."""

    def close(self) -> None:
        """Let go of files."""


@dataclass
class Contents:
    """What a format's module read from a file; `CountsReader` checks and serves it.

    Attributes
    ----------
    matrix : RowSource
        The counts, (N, M).
    barcodes : ndarray of str, (N,)
        Names of the cells.
    gene_ids, gene_symbols : ndarray of str, (M,)
        Names of the genes.
    obs : DataFrame or None
        The user's columns, one row a cell; None where the format has none.
    where : str
        The place of the counts within the file, for messages.
    layers : list of str or None
        Other places that may hold counts, for messages; None where the format has no layers.
    feature_types : ndarray of str or None, (M,)
        Where the format names them, as it does.
    """

    matrix: RowSource
    barcodes: np.ndarray
    gene_ids: np.ndarray
    gene_symbols: np.ndarray
    obs: pd.DataFrame | None = None
    where: str = ""
    layers: list[str] | None = None
    feature_types: np.ndarray | None = None


def refuse_ranges(path: Path, kind: str) -> NoReturn:
    """Raise InputError for a file that has to be read whole, where ranges of cells are asked for.

    Parameters
    ----------
    path : Path
        Of the file.
    kind : str
        What it is, for the message.
    """
    raise InputError(
        f"'{path}' is {kind}, which is read whole and sorted by cell, so that its cells cannot be "
        "shared out: ask for no more `parts` than there are inputs, or write it as .h5ad with X as "
        "CSR (`adata.X = adata.X.tocsr()`)."
    )


def check_range(path: Path, indices: np.ndarray, size: int, what: str) -> None:
    """Raise InputError where an index of a `what` (cell, gene) is outside 0 .. size - 1."""
    if indices.size and (indices.min() < 0 or indices.max() >= size):
        wrong = int(indices.max() if indices.max() >= size else indices.min())
        raise InputError(
            f"'{path}' has a count for {what} number {wrong + 1} but names {size} {what}s: write "
            "the file again with names and matrix of the same size."
        )
