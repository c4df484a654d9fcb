"""Mutated input files: each is read, or refused in one sentence; none ends in a traceback.

``python -m benchmarks.faults.inputs 10000``. Readers work in processes of their own; one is ended
where the HDF5 library is kept busy for ever by a changed structure.
"""

from __future__ import annotations

import collections
import gzip
import json
import logging
import multiprocessing
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import anndata
import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp
from neuralNMF.errors import NeuralNMFError
from neuralNMF.io.counts import open_counts
from neuralNMF.io.dataset import write_dataset
from neuralNMF.io.h5 import write_h5

from benchmarks.faults.mutations import spoiled

SECONDS = 20.0  # of one file; a sound one takes a few hundredths
COUNTS = sp.csr_matrix(np.random.default_rng(0).poisson(0.7, (23, 11)).astype(np.float32))
GENES = [f"MT-{j}" for j in range(11)]
CELLS = [f"cell{i}" for i in range(23)]


def plain_h5(path: Path) -> None:
    """Counts without the checksums that our own files end with."""
    write_h5(path, CELLS, GENES, COUNTS)
    with h5py.File(path, "r+"):
        pass


def plain_h5ad(path: Path) -> None:
    obs = pd.DataFrame({"kind": ["x", "y"] * 11 + ["x"]}, index=CELLS)
    anndata.AnnData(COUNTS, obs=obs, var=pd.DataFrame(index=GENES)).write_h5ad(path)


def table(path: Path) -> None:
    pd.DataFrame(COUNTS.toarray().astype(int), CELLS, GENES).to_csv(path)


def matrix_market() -> bytes:
    entries = COUNTS.tocoo()
    lines = zip(entries.row, entries.col, entries.data, strict=True)
    body = "".join(f"{j + 1} {i + 1} {int(n)}\n" for i, j, n in lines)
    return f"%%MatrixMarket matrix coordinate integer general\n11 23 {entries.nnz}\n{body}".encode()


def folder_of(matrix: str) -> Callable[[Path], None]:
    """A writer of a folder in MatrixMarket format, its matrix under a name."""

    def write(path: Path) -> None:
        text = matrix_market()
        (path / matrix).write_bytes(gzip.compress(text) if matrix.endswith("gz") else text)
        (path / "genes.tsv").write_text("\n".join(f"{gene}\t{gene}" for gene in GENES))
        (path / "barcodes.tsv").write_text("\n".join(CELLS))

    return write


# By kind: the file that is changed, and what writes it (or the folder that it lies in).
KINDS: dict[str, tuple[str, Callable[[Path], None]]] = {
    "h5": ("x.h5", plain_h5),
    "h5ad": ("x.h5ad", plain_h5ad),
    "ours": ("x.h5ad", lambda path: write_dataset(path, COUNTS)),
    "csv": ("x.csv", table),
    "mtx": ("matrix.mtx", folder_of("matrix.mtx")),
    "mtx.gz": ("matrix.mtx.gz", folder_of("matrix.mtx.gz")),
    "genes.tsv": ("genes.tsv", folder_of("matrix.mtx")),
    "barcodes.tsv": ("barcodes.tsv", folder_of("matrix.mtx")),
}


def read(path: Path) -> str:
    """How reading ends."""
    try:
        with open_counts(path) as reader:
            data = np.concatenate([counts.data for _, counts in reader.chunks(10)])
        return "read" if np.isfinite(data).all() and (data > 0).all() else "WRONG VALUES"
    except NeuralNMFError as error:
        text = str(error)
        return "refused" if text.endswith(".") and len(text.splitlines()) == 1 else "NO SENTENCE"
    except BaseException as error:
        return f"TRACEBACK {error!r}"


def reader(pipe: Connection) -> None:
    warnings.simplefilter("error")
    logging.disable()
    while (path := pipe.recv()) is not None:
        pipe.send(read(path))


class Readers:
    """A process that reads, and another one when it hangs or dies."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        self.pipe, theirs = multiprocessing.Pipe()
        self.process = multiprocessing.Process(target=reader, args=(theirs,), daemon=True)
        self.process.start()
        theirs.close()

    def outcome(self, path: Path) -> str:
        self.pipe.send(path)
        how = "HANGS"
        try:
            if self.pipe.poll(SECONDS):
                return str(self.pipe.recv())
        except EOFError:
            how = "CRASH"
        self.process.kill()
        self.process.join()
        self.begin()
        return how


def run(count: int, folder: Path, seed: int = 0) -> dict[str, Any]:
    """Outcomes of so many files, by kind; the bad ones with their seeds."""
    found: dict[str, collections.Counter[str]] = {kind: collections.Counter() for kind in KINDS}
    bad, readers, sound = [], Readers(), {}
    for kind, (changed, write) in KINDS.items():
        home = folder / kind
        home.mkdir()
        inside = kind in ("h5", "h5ad", "ours", "csv")
        write(home / changed if inside else home)
        sound[kind] = (home / changed, home / changed if inside else home)
        assert readers.outcome(sound[kind][1]) == "read", kind
    wholes = {kind: path.read_bytes() for kind, (path, _) in sound.items()}
    for number in range(count):
        kind = list(KINDS)[number % len(KINDS)]
        path, given = sound[kind]
        path.write_bytes(spoiled(wholes[kind], np.random.default_rng([seed, number])))
        how = readers.outcome(given)
        found[kind][how.split(" ")[0] if how.startswith("TRACEBACK") else how] += 1
        if how.isupper() or how.startswith("TRACEBACK"):
            bad.append(f"{kind} [{seed}, {number}]: {how[:200]}")
    readers.pipe.send(None)
    return {"files": count, "outcomes": {k: dict(v) for k, v in found.items()}, "bad": bad[:40]}


if __name__ == "__main__":
    before = time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        figures = run(int(sys.argv[1]), Path(scratch), int(sys.argv[2]) if sys.argv[2:] else 0)
    print(json.dumps({**figures, "seconds": round(time.perf_counter() - before)}, indent=1))
