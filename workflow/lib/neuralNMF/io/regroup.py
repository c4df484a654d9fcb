"""Entries in any order, sorted by cell in bounded memory: an external bucket sort."""

import tempfile
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from neuralNMF.io.spill import CsrSpill

BUCKET = 1 << 23  # entries sorted at once: 96 MiB on disk, about three times that in memory
ENTRY = np.dtype([("cell", np.int32), ("gene", np.int32), ("count", np.float32)])


def regroup(
    blocks: Iterable[tuple[np.ndarray, np.ndarray, np.ndarray]],
    shape: tuple[int, int],
    entries: int,
    folder: str | Path | None = None,
    bucket: int = BUCKET,
) -> CsrSpill:
    """Sort blocks of (cell, gene, count) into a temporary CSR file of ``shape`` (N, M).

    Each block is dealt to buckets of neighbouring cells (12 bytes an entry in temporary files of
    ``folder``), then bucket after bucket is sorted and appended (8 bytes a non-zero). Memory: a
    block and a bucket, however many ``entries`` there are. Duplicate entries are added up.
    """
    cells, genes = shape
    buckets = max(1, min(cells, -(-entries // bucket)))
    width = -(-cells // buckets) if cells else 1
    spill = CsrSpill(genes, folder)
    try:
        with ExitStack() as stack:
            files = [
                stack.enter_context(tempfile.TemporaryFile(dir=folder))
                for _ in range(-(-cells // width))
            ]
            for block in blocks:
                _deal(block, files, width)
            for i, file in enumerate(files):
                file.seek(0)
                entry = np.fromfile(file, dtype=ENTRY)
                n = min(width, cells - i * width)
                rows = sp.csr_matrix(
                    (entry["count"], (entry["cell"] - i * width, entry["gene"])), shape=(n, genes)
                )
                spill.append(rows)
    except BaseException:
        spill.close()
        raise
    return spill


def _deal(block: tuple[np.ndarray, np.ndarray, np.ndarray], files: list, width: int) -> None:
    entry = np.empty(block[0].size, dtype=ENTRY)
    entry["cell"], entry["gene"], entry["count"] = block
    bucket = entry["cell"] // width
    if bucket.size and (bucket[0] == bucket).all():  # sorted by cell, as most files are
        entry.tofile(files[bucket[0]])
        return
    order = np.argsort(bucket, kind="stable")
    edges = np.searchsorted(bucket[order], np.arange(len(files) + 1))
    for i in np.flatnonzero(np.diff(edges)):
        entry[order[edges[i] : edges[i + 1]]].tofile(files[i])
