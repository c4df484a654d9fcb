"""Counts in any order, sorted by cell in bounded memory: an external bucket sort."""

from collections.abc import Iterable, Sequence
from contextlib import ExitStack, closing
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from neuralNMF.io.temporary_csr import TemporaryCsr
from neuralNMF.io.temporary_file import TemporaryArray

BUCKET = 1 << 23  # entries sorted at once: 96 MiB on disk, about three times that in memory
ENTRY = np.dtype([("cell", np.int32), ("gene", np.int32), ("count", np.float32)])


def sort_by_cell(
    blocks: Iterable[tuple[np.ndarray, np.ndarray, np.ndarray]],
    shape: tuple[int, int],
    entries: int,
    folder: str | Path | None = None,
    bucket: int = BUCKET,
) -> TemporaryCsr:
    """Sort blocks of entries into a temporary CSR matrix.

    Each block is dealt to buckets of neighbouring cells, then bucket after bucket is sorted and
    appended. Memory: one block and one bucket, however many entries there are. On disk: 12 bytes
    an entry while they are sorted, 8 bytes a non-zero afterwards.

    Parameters
    ----------
    blocks : iterable of (cell, gene, count)
        Three arrays of the same length; cells and genes from 0 on. Repeated entries are added up.
    shape : (int, int)
        Cells N and genes M.
    entries : int
        How many there are in all blocks together.
    folder : str, Path or None
        For the temporary files; None: the system's temporary folder.
    bucket : int
        Entries sorted at once.

    Returns
    -------
    TemporaryCsr
        The counts (N, M), to be closed by the caller.
    """
    cells, genes = shape
    buckets = max(1, min(cells, -(-entries // bucket)))
    width = -(-cells // buckets) if cells else 1
    counts = TemporaryCsr(genes, folder)
    try:
        with ExitStack() as stack:
            files = [
                stack.enter_context(closing(TemporaryArray(ENTRY, folder)))
                for _ in range(-(-cells // width))
            ]
            for block in blocks:
                _deal(block, files, width)
            for i, file in enumerate(files):
                entry = file.read()
                n = min(width, cells - i * width)
                rows = sp.csr_matrix(
                    (entry["count"], (entry["cell"] - i * width, entry["gene"])), shape=(n, genes)
                )
                counts.append(rows)
    except BaseException:
        counts.close()
        raise
    return counts


def _deal(
    block: tuple[np.ndarray, np.ndarray, np.ndarray], files: Sequence[TemporaryArray], width: int
) -> None:
    """Append each entry to the file of its cell's bucket; a bucket is `width` cells."""
    entry = np.empty(block[0].size, dtype=ENTRY)
    with np.errstate(over="ignore"):  # infinite then, which readers refuse
        entry["cell"], entry["gene"], entry["count"] = block
    bucket = entry["cell"] // width
    if bucket.size and (bucket[0] == bucket).all():  # sorted by cell, as most files are
        files[int(bucket[0])].append(entry)
        return
    order = np.argsort(bucket, kind="stable")
    edges = np.searchsorted(bucket[order], np.arange(len(files) + 1))
    for i in np.flatnonzero(np.diff(edges)):
        files[int(i)].append(entry[order[edges[i] : edges[i + 1]]])
