"""Epochs of one version of the library: for each line that comes in, one epoch and its seconds.

    python epoch_process.py DATASET HELD BATCHES

HELD: cells in memory, 0 for all. BATCHES: of the column `batch`, 0 for none. Imports nothing but
the library, so that an earlier one can stand in its place.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import torch
from neuralNMF.cells.place import Place
from neuralNMF.cells.scaling import fit_scaling
from neuralNMF.cells.stream import dataset_products
from neuralNMF.io.dataset import open_dataset
from neuralNMF.least_squares.network import NeuralNMF
from neuralNMF.least_squares.optimize import Auto
from neuralNMF.threads import threads_of_a_fit

PROGRAMS, THREADS = 20, 2


def main(path: Path, held: int | None, batches: int) -> None:
    dataset, factors = open_dataset(path), {}
    if batches:
        from neuralNMF.batches.factors import Batches

        names = tuple(np.unique(dataset.obs["batch"].astype(str)))
        drawn = np.random.default_rng(1).normal(0, 0.3, (batches, dataset.shape[1]))
        factors["batches"] = Batches("batch", names, np.exp(drawn))
    start = torch.rand((dataset.shape[0], PROGRAMS), generator=torch.Generator().manual_seed(0))
    with threads_of_a_fit(THREADS) as threads:
        place = Place(dtype=torch.float32, threads=threads)
        scaling = fit_scaling(dataset, "library", "log1p", 0.5, **factors)
        products = dataset_products(dataset, scaling, place, data_mem_size=held)
        optimizer = Auto(NeuralNMF([start], threads=threads), products)
        for _ in sys.stdin:
            before = time.perf_counter()
            optimizer.epoch()
            print(time.perf_counter() - before, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) or None, int(sys.argv[3]))
