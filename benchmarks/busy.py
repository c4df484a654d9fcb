"""A fit of 2,800 cells in a plain Python process, alone and beside two busy processes.

No environment variable is set: the library keeps its own threads, and those of torch and BLAS, from
waiting in busy loops. Fits alone and fits beside the others take turns.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time

import numpy as np
import torch
from neuralNMF.io.dataset import open_dataset

from benchmarks.common import fit_layers, folders, save
from benchmarks.planted import simulate_hierarchy

CELLS, GENES, LAYERS, TURNS = 2800, 2000, (20, 10), 5
BUSY = [sys.executable, "-c", "while True: pass"]
VARIABLES = ("OMP_WAIT_POLICY", "NUMBA_THREADING_LAYER", "OMP_NUM_THREADS", "KMP_BLOCKTIME")


def seconds_of_a_fit(dataset) -> float:
    before = time.perf_counter()
    fit_layers(dataset, LAYERS)
    return time.perf_counter() - before


def main() -> None:
    _, out = folders()
    assert not any(name in os.environ for name in VARIABLES), "a variable steers the threads"
    path = out / "busy.h5ad"
    simulate_hierarchy(path, CELLS, GENES, rng=np.random.default_rng(0))
    dataset = open_dataset(path)
    fit_layers(dataset, LAYERS)  # compiles
    before = torch.get_num_threads()
    alone, beside = [], []
    for _ in range(TURNS):
        alone.append(seconds_of_a_fit(dataset))
        others = [subprocess.Popen(BUSY) for _ in range(2)]
        try:
            beside.append(seconds_of_a_fit(dataset))
        finally:
            for other in others:
                other.kill()
                other.wait()
    save(
        out,
        "busy",
        {
            "cores": len(os.sched_getaffinity(0)),
            "torch_threads_before_and_after": [before, torch.get_num_threads()],
            "seconds_alone": statistics.median(alone),
            "seconds_beside_two_busy_processes": statistics.median(beside),
            "ratio": statistics.median([b / a for a, b in zip(alone, beside, strict=True)]),
            "least_and_most": [min(beside) / min(alone), max(beside) / min(alone)],
        },
    )


if __name__ == "__main__":
    main()
