"""The time of an epoch with the factors of batches and without, taking turns.

50,000 x 2,000, 5 % non-zero, 20 programs, log1p, ten batches; held in memory, and streamed in
pieces of 10,000 cells, where the values of each piece are made anew in every pass.
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import torch
from neuralNMF.batches.factors import Batches
from neuralNMF.cells.place import Place
from neuralNMF.cells.scaling import fit_scaling
from neuralNMF.cells.stream import dataset_products
from neuralNMF.io.dataset import Dataset, open_dataset, write_dataset
from neuralNMF.least_squares.network import NeuralNMF
from neuralNMF.least_squares.optimize import Auto
from neuralNMF.threads import Threads, threads_of_a_fit

from benchmarks.common import sparse_counts

CELLS, GENES, PROGRAMS, BATCHES = 50_000, 2000, 20, 10
PIECE = 10_000
WARM, TURNS = 3, 9


def epochs() -> dict[str, dict[str, float]]:
    """Seconds of an epoch by how the cells are held, and the median ratio of the turns."""
    rng = np.random.default_rng(0)
    obs = pd.DataFrame({"batch": rng.integers(0, BATCHES, CELLS).astype(str)})
    with TemporaryDirectory() as folder, threads_of_a_fit(2) as threads:
        path = Path(folder) / "dataset.h5ad"
        write_dataset(path, sparse_counts(CELLS, GENES, GENES // 20), obs=obs)
        held = {"in memory": None, "streamed": PIECE}
        return {
            name: _taking_turns(open_dataset(path), size, threads) for name, size in held.items()
        }


def _taking_turns(dataset: Dataset, held: int | None, threads: Threads) -> dict[str, float]:
    names = tuple(np.unique(dataset.obs["batch"]))
    factors = np.exp(np.random.default_rng(1).normal(0, 0.3, (len(names), GENES)))
    place = Place(dtype=torch.float32, threads=threads)
    start = torch.rand((CELLS, PROGRAMS), generator=torch.Generator().manual_seed(0))
    ways = {"without": None, "with batch": Batches("batch", names, factors)}
    optimizers, seconds = {}, {name: [] for name in ways}
    for name, batches in ways.items():
        scaling = fit_scaling(dataset, "library", "log1p", 0.5, batches=batches)
        products = dataset_products(dataset, scaling, place, data_mem_size=held)
        optimizers[name] = Auto(NeuralNMF([start.clone()], threads=threads), products)
    for turn in range(WARM + TURNS):
        for name, optimizer in optimizers.items():
            before = time.perf_counter()
            optimizer.epoch()
            if turn >= WARM:
                seconds[name].append(time.perf_counter() - before)
    pairs = zip(seconds["with batch"], seconds["without"], strict=True)
    found = {name: statistics.median(taken) for name, taken in seconds.items()}
    return found | {"ratio": statistics.median(one / other for one, other in pairs)}
