"""New cells beside joint training: a third of the cells held out, projected and classified.

Of each labelled set, the vote of the 15 nearest training cells, by shares of the usage, for the
held-out cells' labels: with the held-out cells projected on a model of the others, with a tenth of
the genes missing from their file, and in a model that was trained on all cells. Cells of a label
with fewer than 20 cells do not count. A seed is that of the split, of the genes and of the fits.

    python -m benchmarks.new_cells ../shared/data benchmarks/out
"""

import tempfile
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
from neuralNMF import project
from neuralNMF.dataset import DatasetOptions, InputSpec, build_dataset
from neuralNMF.evidence.agreement import NEIGHBOURS
from neuralNMF.evidence.label_scores import counted
from neuralNMF.evidence.usage import shares
from neuralNMF.io.dataset import open_dataset
from neuralNMF.io.model import Model
from neuralNMF.options import REAL_CELLS, VARIABLE_GENES
from sklearn.neighbors import KNeighborsClassifier

from benchmarks.answer.sets import SETS
from benchmarks.common import fit_layers, folders, save, timed

LAYERS = (20, 10, 5)
KINDS = {
    "squares": dict(REAL_CELLS),
    "poisson": {"beta": "learned", "loss": "nested_poisson"},
}
# Poisson fits take many times as long.
SEEDS = {"squares": 3, "poisson": 1}


def model_of(path: Path, seed: int, options: dict) -> Model:
    dataset = path.with_suffix(".dataset.h5ad")
    chosen = DatasetOptions(min_cells=10, variable_genes=VARIABLE_GENES)
    build_dataset([InputSpec(path, "cells")], dataset, chosen, progress=False)
    return fit_layers(open_dataset(dataset), LAYERS, seed=seed, **options)


def accuracies(known: list, truth: np.ndarray, new: list, wanted: np.ndarray) -> list[float]:
    """Of each layer, the share of new cells whose nearest known ones vote for their label."""
    labelled, asked = pd.notna(truth), pd.notna(wanted)
    scores = []
    for old, other in zip(known, new, strict=True):
        vote = KNeighborsClassifier(NEIGHBOURS).fit(shares(old)[labelled], truth[labelled])
        scores.append(float(vote.score(shares(other)[asked], wanted[asked])))
    return scores


def measure(adata: anndata.AnnData, seed: int, options: dict, folder: Path) -> dict:
    rng = np.random.default_rng(seed)
    held = rng.random(adata.n_obs) < 1 / 3
    missing = rng.random(adata.n_vars) < 0.1
    paths = {name: folder / f"{name}.h5ad" for name in ("known", "new", "fewer", "all")}
    adata[~held].write_h5ad(paths["known"])
    adata[held].write_h5ad(paths["new"])
    adata[held][:, ~missing].write_h5ad(paths["fewer"])
    adata.write_h5ad(paths["all"])
    types = adata.obs["celltype"].astype(str)
    types = types.where(counted(types.to_numpy()))
    model, joint = (model_of(paths[name], seed, options) for name in ("known", "all"))
    new, seconds = timed(lambda: project(model, paths["new"], progress=False))
    fewer = project(model, paths["fewer"], progress=False)
    again = project(model, paths["known"], progress=False)
    where = joint.obs.index.isin(adata.obs_names[held])
    known, wanted = (types.reindex(part.obs.index).to_numpy() for part in (model, new))
    together = accuracies(
        [usage[~where] for usage in joint.usages], types[joint.obs.index[~where]].to_numpy(),
        [usage[where] for usage in joint.usages], types[joint.obs.index[where]].to_numpy(),
    )  # fmt: skip
    projected = accuracies(model.usages, known, new.usages, wanted)
    return {
        "cells": int(held.sum()),
        "projected": projected,
        "a tenth of the genes missing": accuracies(model.usages, known, fewer.usages, wanted),
        "share_of_programs": fewer.info["projected"][0]["share_of_programs"],
        "joint": together,
        "ratio": [one / other for one, other in zip(projected, together, strict=True)],
        "training_cells_again": [
            float(np.linalg.norm(now - before) / np.linalg.norm(before))
            for before, now in zip(model.usages, again.usages, strict=True)
        ],
        "seconds": seconds,
    }


def main() -> None:
    data, out = folders()
    figures: dict[str, dict] = {}
    for name in SETS:
        path = data / f"{name}.h5ad"
        if not path.exists():
            figures[name] = {"left_out": f"{name}: not in the data folder"}
            continue
        adata = anndata.read_h5ad(path)
        figures[name] = {}
        with tempfile.TemporaryDirectory() as folder:
            for kind, options in KINDS.items():
                figures[name][kind] = [
                    measure(adata, seed, options, Path(folder)) for seed in range(SEEDS[kind])
                ]
                save(out, "new_cells", figures)  # a run that is broken off has not been for nothing
    save(out, "new_cells", figures)


if __name__ == "__main__":
    main()
