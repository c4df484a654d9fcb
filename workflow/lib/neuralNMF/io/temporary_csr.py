"""A CSR matrix in temporary files, for matrices whose number of non-zeros is not known ahead."""

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import scipy.sparse as sp

from neuralNMF.io.temporary_file import TemporaryArray

BLOCK = 1 << 22  # values copied at once: 16 MiB each of data and of indices


class TemporaryCsr:
    """Rows appended on disk and read back; it serves readers as a `RowSource`.

    The two raw files take 8 bytes a non-zero (float32 value, int32 column) and vanish with the
    object.

    Parameters
    ----------
    columns : int
        Of the matrix.
    folder : str, Path or None
        Where the files lie; made if it is missing. None: the system's temporary folder.

    Attributes
    ----------
    nnz : int
        Values appended so far.
    """

    def __init__(self, columns: int, folder: str | Path | None = None) -> None:
        self.columns = columns
        self.nnz = 0
        self._data = TemporaryArray(np.float32, folder)
        self._indices = TemporaryArray(np.int32, folder)
        self._row_nnz: list[np.ndarray] = []
        self._indptr: np.ndarray | None = None

    def append(self, counts: sp.csr_matrix) -> None:
        """Add the rows of `counts` (n, M) below those that are there."""
        self._data.append(counts.data)
        self._indices.append(counts.indices)
        self._row_nnz.append(np.diff(counts.indptr).astype(np.int64))
        self._indptr = None
        self.nnz += counts.nnz

    def indptr(self) -> np.ndarray:
        """Where each row begins, (N + 1,) int64."""
        if self._indptr is None:
            self._indptr = np.cumsum(np.concatenate([np.zeros(1, np.int64), *self._row_nnz]))
        return self._indptr

    def values(self, block: int = BLOCK) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """Blocks of (first position, indices, data) in the order written."""
        for start in range(0, self.nnz, block):
            yield start, *self._read(start, min(start + block, self.nnz))

    def rows(self, start: int, stop: int) -> sp.csr_matrix:
        """Rows `start` to `stop`, (stop - start, M) float32."""
        indptr = self.indptr()
        first, last = int(indptr[start]), int(indptr[stop])
        indices, data = self._read(first, last)
        return sp.csr_matrix(
            (data, indices, (indptr[start : stop + 1] - first).astype(np.int32)),
            shape=(stop - start, self.columns),
        )

    def _read(self, first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
        return self._indices.read(first, last), self._data.read(first, last)

    def close(self) -> None:
        """Remove the files."""
        self._data.close()
        self._indices.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
