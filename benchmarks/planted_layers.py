"""Planted hierarchies with the right sizes asked for: are both layers, and the tree, found again?

Ten seeds of 20 fine programs in 10 and of 12 in 4, by least squares of raw counts, by the defaults
for real cells (consensus), and by the Poisson model.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from neuralNMF.consensus.fit import add_layer
from neuralNMF.evidence.matching import match_by_genes, tree_recovered
from neuralNMF.io.dataset import Dataset, open_dataset
from neuralNMF.options import RAW_COUNTS, REAL_CELLS, LayerOptions

from benchmarks.common import folders, save
from benchmarks.planted import simulate_hierarchy

CELLS, GENES, SEEDS = 3000, 1000, 10
SIZES = {"20 in 10": (20, 10), "12 in 4": (12, 4)}
CONFIGURATIONS: dict[str, dict] = {
    "raw counts": {**RAW_COUNTS, "consensus": False},
    "defaults for real cells": {**REAL_CELLS, "consensus": True},
    "nested Poisson": {**RAW_COUNTS, "beta": "learned", "loss": "nested_poisson"},
}
# A planted program counts as found from this cosine on: log1p bends what is linear in the counts.
FOUND = 0.9


def drawn(path: Path, sizes: tuple[int, int], seed: int) -> tuple[Dataset, dict[str, np.ndarray]]:
    """A planted data set and its truth."""
    rng = np.random.default_rng(seed)
    simulate_hierarchy(path, CELLS, GENES, *sizes, rng=rng, density=0.1)
    with np.load(path.with_name(f"{path.stem}_truth.npz")) as truth:
        return open_dataset(path), dict(truth)


def found(
    dataset: Dataset, truth: dict[str, np.ndarray], sizes: tuple[int, int], keys: dict, seed: int
) -> dict[str, float]:
    """The least cosine of a layer's planted programs, and the share of the tree."""
    model = None
    for rank in sizes:
        options = LayerOptions(rank=rank, seed=seed, **keys)
        model = add_layer(dataset, model, options, progress=False)
    # In counts: the genes' factors are taken off, as the truth has none.
    programs = [beta / model.var["gene_scale"].to_numpy() for beta in model.betas]
    names = ("fine", "coarse")
    pairs = [(truth[name], beta) for name, beta in zip(names, programs, strict=True)]
    cosines = [match_by_genes(planted, beta)[1] for planted, beta in pairs]
    matches = [match_by_genes(beta, planted)[0] for planted, beta in pairs]
    return {
        "fine": float(np.nan_to_num(cosines[0]).min()),
        "coarse": float(np.nan_to_num(cosines[1]).min()),
        "tree": tree_recovered(model.thetas[1].argmax(axis=1), truth["parent"], *matches),
    }


def main() -> None:
    _, out = folders()
    path, figures = out / "planted_layers.h5ad", {}
    for name, sizes in SIZES.items():
        rows: dict[str, list[dict[str, float]]] = {each: [] for each in CONFIGURATIONS}
        for seed in range(SEEDS):
            dataset, truth = drawn(path, sizes, seed)
            for each, keys in CONFIGURATIONS.items():
                rows[each].append(found(dataset, truth, sizes, keys, seed))
        figures[name] = {
            each: {
                "both_found_of_ten": sum(min(row["fine"], row["coarse"]) >= FOUND for row in part),
                "least_cosine_fine": [round(row["fine"], 4) for row in part],
                "least_cosine_coarse": [round(row["coarse"], 4) for row in part],
                "tree": [row["tree"] for row in part],
            }
            for each, part in rows.items()
        }
        save(out, "planted_layers", figures)
    path.unlink()


main()
