"""Counts put together from several matrices of the same cells, or some columns of one."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp

from neuralNMF.io.contents import Contents, RowSource


@dataclass(frozen=True)
class SideBySide:
    """Several matrices of the same cells, the genes of one after those of the other: `RowSource`.

    Attributes
    ----------
    parts : sequence of RowSource
        Of N cells each.
    """

    parts: Sequence[RowSource]

    def rows(self, start: int, stop: int) -> sp.csr_matrix:
        """Cells `start` to `stop`, (stop - start, M)."""
        return sp.hstack([part.rows(start, stop) for part in self.parts], format="csr")

    def close(self) -> None:
        """Close all."""
        for part in self.parts:
            part.close()


@dataclass(frozen=True)
class Chosen:
    """Some columns of a matrix: `RowSource`.

    Attributes
    ----------
    matrix : RowSource
        Of N cells.
    columns : ndarray of int, (M,)
        Which of its genes.
    """

    matrix: RowSource
    columns: np.ndarray

    def rows(self, start: int, stop: int) -> sp.csr_matrix:
        """Cells `start` to `stop`, (stop - start, M)."""
        return self.matrix.rows(start, stop)[:, self.columns]

    def close(self) -> None:
        """Close the matrix."""
        self.matrix.close()


def chosen_genes(contents: Contents, columns: np.ndarray) -> Contents:
    """The contents of a file with some of its genes only.

    Parameters
    ----------
    contents : Contents
        Of the whole file.
    columns : ndarray of int, (M,)
        Which genes.
    """
    types = contents.feature_types
    return replace(
        contents,
        matrix=Chosen(contents.matrix, columns),
        gene_ids=contents.gene_ids[columns],
        gene_symbols=contents.gene_symbols[columns],
        feature_types=None if types is None else types[columns],
    )
