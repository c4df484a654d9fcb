"""Single bits flipped in what the library wrote: noticed, or of no consequence.

``python -m benchmarks.faults.flips 200``: so many in a data set, a model and simulated counts.
"""

from __future__ import annotations

import collections
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from neuralNMF.errors import InputError
from neuralNMF.fit import fit_layer
from neuralNMF.io.counts import open_counts
from neuralNMF.io.dataset import open_dataset, write_dataset
from neuralNMF.io.h5 import write_h5
from neuralNMF.io.model import load_model, save_model
from neuralNMF.options import LayerOptions

from benchmarks.faults.mutations import flipped

COUNTS = sp.csr_matrix(np.random.default_rng(0).poisson(0.7, (3000, 400)).astype(np.float32))


def write(folder: Path) -> dict[str, Callable[[], list[Any]]]:
    """The three files; for each name, what reads all of it."""
    dataset, model, counts = folder / "dataset.h5ad", folder / "layer1.h5nnmf", folder / "sim.h5"
    write_dataset(dataset, COUNTS)
    options = LayerOptions(rank=5, epochs=5, threads=1, device="cpu")
    save_model(model, fit_layer(open_dataset(dataset), None, options, progress=False))
    cells, genes = ([f"{i}" for i in range(size)] for size in COUNTS.shape)
    write_h5(counts, cells, genes, COUNTS, simulated=True)

    def read_dataset() -> list[Any]:
        found = open_dataset(dataset)
        return [*found.read(), found.indptr, found.obs.to_csv(), found.var.to_csv()]

    def read_model() -> list[Any]:
        found = load_model(model)
        arrays = [*found.thetas, *found.betas, *found.dead]
        return [*arrays, found.obs.to_csv(), found.history.to_csv(), json.dumps(found.info)]

    def read_counts() -> list[Any]:
        with open_counts(counts) as reader:
            chunks = [part for _, part in reader.chunks(1000)]
            return [sp.vstack(chunks).toarray(), reader.barcodes, reader.gene_ids]

    return {"dataset.h5ad": read_dataset, "layer1.h5nnmf": read_model, "sim.h5": read_counts}


def same(a: list[Any], b: list[Any]) -> bool:
    return all(
        np.array_equal(x, y) if isinstance(x, np.ndarray) else x == y
        for x, y in zip(a, b, strict=True)
    )


def run(count: int, folder: Path, seed: int = 0) -> dict[str, dict[str, int]]:
    """How each flip ended, by file."""
    rng = np.random.default_rng(seed)
    outcomes: dict[str, dict[str, int]] = {}
    for name, read in write(folder).items():
        path = folder / name
        whole, before = path.read_bytes(), read()
        found: collections.Counter[str] = collections.Counter()
        for _ in range(count):
            path.write_bytes(flipped(whole, rng))
            try:
                found["harmless" if same(read(), before) else "OTHER RESULTS"] += 1
            except InputError:
                found["refused"] += 1
        outcomes[name] = dict(found)
        path.write_bytes(whole)
    return outcomes


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        print(json.dumps(run(int(sys.argv[1]), Path(scratch)), indent=1))
