"""Which solver for what: quality and time of each on one file of labelled cells.

    python benchmarks/poisson.py FILE.h5ad [--labels celltype lineage] [--seeds 3] [--only NAME ...]

Prints one line a solver: adjusted Rand index of k-means (20 starts) on the row-normalised usage of
layer 1 against the first column of labels and of layer 2 against the second, and the seconds of
both layers' fits. All in one process, after one short fit that loads the compiled loops.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
from neuralNMF.build import DatasetOptions, InputSpec, build_dataset
from neuralNMF.fit import fit_layer
from neuralNMF.io.dataset import Dataset, open_dataset
from neuralNMF.io.model import Model
from neuralNMF.options import LayerOptions
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

SOLVERS = {
    "lsq": {"normalize": "variance"},
    "learned": {"beta": "learned", "normalize": "variance"},
    "learned, poisson": {"beta": "learned", "loss": "poisson"},
    "pmf": {"beta": "pmf", "loss": "poisson"},
}
LAYERS = (20, 10)


def fit(dataset: Dataset, keys: dict, *, seed: int, epochs: int = 300) -> Model:
    """Both layers."""
    model = None
    for rank in LAYERS:
        options = LayerOptions(rank=rank, seed=seed, epochs=epochs, **keys)
        model = fit_layer(dataset, model, options, progress=False)
    return model


def agreement(usage: np.ndarray, labels: np.ndarray) -> float:
    """Adjusted Rand index of k-means on the usage's shares, as many clusters as labels."""
    shares = usage / np.maximum(usage.sum(axis=1, keepdims=True), 1e-12)
    clusters = len(np.unique(labels))
    found = KMeans(clusters, n_init=20, random_state=0).fit_predict(shares)
    return float(adjusted_rand_score(labels, found))


def main() -> None:
    """Fits every solver with every seed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--labels", nargs=2, default=["celltype", "lineage"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=list(SOLVERS), choices=list(SOLVERS))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "dataset.h5ad"
        chosen = DatasetOptions(variable_genes=2000, min_cells=20)
        build_dataset([InputSpec(given.file, "cells")], path, chosen)
        dataset = open_dataset(path)
        truth = [dataset.obs[column].astype(str).to_numpy() for column in given.labels]
        sys.stdout.write("| solver | layer 1 | layer 2 | seconds |\n|---|---|---|---|\n")
        for name in given.only:
            fit(dataset, SOLVERS[name], seed=0, epochs=1)
            found, seconds = [], []
            for seed in range(given.seeds):
                start = time.perf_counter()
                model = fit(dataset, SOLVERS[name], seed=seed)
                seconds.append(time.perf_counter() - start)
                pairs = zip(model.usages, truth, strict=True)
                found.append([agreement(usage, labels) for usage, labels in pairs])
            columns = [
                " ".join(f"{value:.2f}" for value in column) for column in zip(*found, strict=True)
            ]
            sys.stdout.write(f"| {name} | {' | '.join(columns)} | {median(seconds):.1f} |\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
