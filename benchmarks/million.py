"""1,000,000 x 2,000 with planted programs, [20, 10], to its stopping rule: in memory and streamed.

Each way runs in a process of its own, for the sake of its peak memory.
"""

import json
import subprocess
import sys
import time

import numpy as np
import torch
from neuralNMF.fit import fit_layer
from neuralNMF.hierarchy import simulate_hierarchy
from neuralNMF.io.dataset import open_dataset
from neuralNMF.options import LayerOptions

from benchmarks.common import folders, peak_bytes, save
from benchmarks.matching import matched

CELLS, GENES, LAYERS = 1_000_000, 2000, (20, 10)
STREAMED = 50_000


def fit(path: str, held: int | None) -> None:
    dataset = open_dataset(path)
    model, seconds, epochs = None, [], []
    for rank in LAYERS:
        before = time.perf_counter()
        options = LayerOptions(rank=rank, data_mem_size=held)
        model = fit_layer(dataset, model, options, progress=False)
        seconds.append(time.perf_counter() - before)
        epochs.append(len(model.history))
    peak = peak_bytes()
    truth = np.load(path.replace(".h5ad", "_truth.npz"))
    figures = {
        "seconds": seconds,
        "total_seconds": sum(seconds),
        "epochs": epochs,
        "status": model.info["status"],
        "mse": model.info["mse"],
        "peak_gb": peak / 1e9,
        "bar_gb": 1.3 * (8e-9 * dataset.nnz + 4 * 4e-9 * dataset.shape[0] * LAYERS[0]) + 0.6,
        "nonzeros": dataset.nnz,
        "threads": torch.get_num_threads(),
        "least_cosine_fine": matched(model.betas[0], truth["fine"])[0],
        "least_cosine_coarse": matched(model.betas[1], truth["coarse"])[0],
    }
    sys.stdout.write(json.dumps(figures))


def main() -> None:
    _, out = folders()
    path = out / "million.h5ad"
    if not path.exists():
        simulate_hierarchy(path, CELLS, GENES, rng=np.random.default_rng(0))
    ways = {}
    for name, held in (("in_memory", "all"), ("streamed", str(STREAMED))):
        command = [sys.executable, "-m", "benchmarks.million", "fit", str(path), held]
        run = subprocess.run(command, check=True, capture_output=True, text=True)
        ways[name] = json.loads(run.stdout)
    ways["streamed_over_in_memory"] = (
        ways["streamed"]["total_seconds"] / ways["in_memory"]["total_seconds"]
    )
    save(out, "million", ways)


if sys.argv[1] == "fit":
    fit(sys.argv[2], None if sys.argv[3] == "all" else int(sys.argv[3]))
else:
    main()
