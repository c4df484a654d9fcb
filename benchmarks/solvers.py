"""Which solver for what: quality and time of each on the blood cells, [20, 10].

Adjusted Rand index of k-means (20 starts) on the usage's shares, of layer 1 with the cell types and
of layer 2 with the lineages; seconds of both layers' fits.
"""

from functools import partial
from statistics import median

import numpy as np
import torch
from neuralNMF.io.dataset import Dataset
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from benchmarks.common import fit_layers, on_blood_cells, timed

SOLVERS = {
    "lsq": {"normalize": "variance"},
    "learned": {"beta": "learned", "normalize": "variance"},
    "learned, poisson": {"beta": "learned", "loss": "poisson"},
    "pmf": {"beta": "pmf", "loss": "poisson"},
}
LAYERS = (20, 10)
LABELS = ("celltype", "lineage")
SEEDS = 3


def agreement(usage: np.ndarray, labels: np.ndarray) -> float:
    """Adjusted Rand index of k-means on the usage's shares, as many clusters as labels."""
    shares = usage / np.maximum(usage.sum(axis=1, keepdims=True), 1e-12)
    clusters = len(np.unique(labels))
    found = KMeans(clusters, n_init=20, random_state=0).fit_predict(shares)
    return float(adjusted_rand_score(labels, found))


def table(rows: dict[str, dict]) -> list[str]:
    """The lines of a markdown table."""
    lines = ["| solver | layer 1, types | layer 2, lineages | seconds |", "|---" * 4 + "|"]
    for name, row in rows.items():
        cells = [" ".join(f"{value:.2f}" for value in row[label]) for label in LABELS]
        lines.append(f"| {name} | {' | '.join(cells)} | {row['median_seconds']:.1f} |")
    return lines


def measure(dataset: Dataset, solvers: dict[str, dict] = SOLVERS, seeds: int = SEEDS) -> dict:
    truth = [dataset.obs[column].astype(str).to_numpy() for column in LABELS]
    rows = {}
    for name, keys in solvers.items():
        fit_layers(dataset, LAYERS, epochs=1, **keys)  # compiles
        row: dict = {"seconds": [], **{label: [] for label in LABELS}}
        for seed in range(seeds):
            model, seconds = timed(partial(fit_layers, dataset, LAYERS, seed=seed, **keys))
            row["seconds"].append(seconds)
            for label, usage, values in zip(LABELS, model.usages, truth, strict=True):
                row[label].append(agreement(usage, values))
        rows[name] = {"median_seconds": median(row["seconds"]), **row}
    return {"threads": torch.get_num_threads(), "solvers": rows, "table": table(rows)}


if __name__ == "__main__":
    on_blood_cells("solvers", measure)
