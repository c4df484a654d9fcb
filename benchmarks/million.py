"""1,000,000 x 2,000, planted programs, [20, 10], to its stopping rule: in memory and streamed."""

import json
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import torch
from neuralNMF.evidence.matching import match_by_genes, tree_recovered
from neuralNMF.fit import fit_layer
from neuralNMF.io.dataset import Dataset, open_dataset
from neuralNMF.memory import GIGABYTE, Demand
from neuralNMF.options import LayerOptions

from benchmarks.common import folders, peak_bytes, save, timed
from benchmarks.planted import simulate_hierarchy

CELLS, GENES, LAYERS = 1_000_000, 2000, (20, 10)
STREAMED = 50_000


def fit(path: str, keys: dict) -> dict:
    """What a fit with some options takes and finds; the peak is this process's."""
    dataset = open_dataset(path)
    model, seconds, epochs = None, [], []
    for rank in LAYERS:
        options = LayerOptions(rank=rank, **keys)
        model, taken = timed(partial(fit_layer, dataset, model, options, progress=False))
        seconds.append(taken)
        epochs.append(len(model.history))
    peak = peak_bytes()
    truth = np.load(path.replace(".h5ad", "_truth.npz"))
    fine, coarse = (
        match_by_genes(beta, truth[name])
        for beta, name in zip(model.betas, ("fine", "coarse"), strict=True)
    )
    return {
        "seconds": seconds,
        "total_seconds": sum(seconds),
        "epochs": epochs,
        "status": model.info["status"],
        **{name: model.info[name] for name in ("mse", "deviance") if name in model.info},
        "peak_gb": peak / GIGABYTE,
        "bar_gb": demand(dataset, options).total / GIGABYTE,
        "nonzeros": dataset.nnz,
        "threads": torch.get_num_threads(),
        "least_cosine_fine": np.nanmin(fine[1]),
        "least_cosine_coarse": np.nanmin(coarse[1]),
        "tree_recovered": tree_recovered(
            model.thetas[1].argmax(axis=1), truth["parent"], fine[0], coarse[0]
        ),
    }


def demand(dataset: Dataset, options: LayerOptions) -> Demand:
    """What the library expects such a fit to take."""
    cells, genes = dataset.shape
    return Demand(
        cells=cells,
        genes=genes,
        nonzeros=dataset.nnz,
        rank=LAYERS[0],
        item=4,
        dense=False,
        held=options.data_mem_size or cells,
        threads=torch.get_num_threads(),
    )


def planted(out: Path, name: str = "million", density: float = 0.05) -> Path:
    path = out / f"{name}.h5ad"
    if not path.exists():
        simulate_hierarchy(path, CELLS, GENES, rng=np.random.default_rng(0), density=density)
    return path


def both_ways(name: str, **keys) -> None:
    """Fits in memory and streamed, each in a process of its own for the sake of its peak memory."""
    _, out = folders()
    path = planted(out)
    ways = {}
    for way, held in (("in_memory", None), ("streamed", STREAMED)):
        options = json.dumps({**keys, "data_mem_size": held})
        command = [sys.executable, "-m", "benchmarks.million", "fit", str(path), options]
        run = subprocess.run(command, check=True, capture_output=True, text=True)
        ways[way] = json.loads(run.stdout)
    ways["streamed_over_in_memory"] = (
        ways["streamed"]["total_seconds"] / ways["in_memory"]["total_seconds"]
    )
    save(out, name, ways)


if __name__ == "__main__":
    if sys.argv[1] == "fit":
        sys.stdout.write(json.dumps(fit(sys.argv[2], json.loads(sys.argv[3]))))
    else:
        both_ways("million")
