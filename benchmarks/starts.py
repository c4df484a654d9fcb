"""Starts of layer 1: the error that 60 epochs reach from each, and how seeds differ.

On `pbmc_facs.h5ad` (2,000 variable genes, `variance`) where it is at hand, and on planted programs.
"""

import numpy as np
import torch
from neuralNMF.cells.place import Place
from neuralNMF.cells.scaling import fit_scaling
from neuralNMF.cells.stream import dataset_products
from neuralNMF.cells.svd import nndsvd_theta, singular_vectors
from neuralNMF.evidence.matching import matched_cosines
from neuralNMF.io.dataset import open_dataset
from neuralNMF.least_squares.network import NeuralNMF
from neuralNMF.least_squares.optimize import Auto
from neuralNMF.least_squares.starts import first_programs, random_theta, usage_of

from benchmarks.common import blood_cells, folders, save
from benchmarks.planted import simulate_hierarchy

SEEDS = 5
RANK = 20


def starts(products, generator) -> dict:
    base = nndsvd_theta(*singular_vectors(products, RANK, generator))
    noise = random_theta(*base.shape, generator)
    programs_t = first_programs(products, RANK, generator)
    return {
        "random": random_theta(products.shape[0], RANK, generator),
        "singular vectors": base + 0.01 * base.mean() * noise,
        "singular vectors, blurred": base + 5 * base.mean(dim=0) * noise,
        "best of six blurred (default)": usage_of(programs_t, products),
    }


def main() -> None:
    data, out = folders()
    sets = {}
    blood = blood_cells(data, out)
    if blood is not None:
        sets["pbmc"] = (blood, "variance", None)
    path = out / "planted.h5ad"
    simulate_hierarchy(path, 20_000, 2000, rng=np.random.default_rng(0))
    planted = np.load(out / "planted_truth.npz")["fine"]
    sets["planted"] = (open_dataset(path), "counts", planted)
    figures: dict = {}
    for name, (dataset, normalize, truth) in sets.items():
        products = dataset_products(
            dataset,
            fit_scaling(dataset, normalize, "none"),
            Place(),
            None,
        )
        entries = products.shape[0] * products.shape[1]
        found: dict = {}
        for seed in range(SEEDS):
            generator = torch.Generator().manual_seed(seed)
            for label, theta in starts(products, generator).items():
                auto = Auto(NeuralNMF([theta]), products)
                for _ in range(60):
                    if not auto.epoch():
                        break
                row = found.setdefault(label, {"mse": [], "programs_found": []})
                row["mse"].append(auto.found.error.item() / entries)
                if truth is not None:
                    cosines = matched_cosines(auto.found.programs_t[0].detach().numpy().T, truth)
                    row["programs_found"].append(sum(c >= 0.95 for c in cosines))
        figures[name] = found
    save(out, "starts", figures)


main()
