"""Batches and conditions of labelled sets: what is mixed, and what of the cell types is kept.

`ifnb_pbmc` by `condition` (resting and stimulated cells) and `zilionis_lung` by `animal`, each with
and without the factors of batches, by the defaults for real cells, `[20, 10, 5]`, and `ifnb_pbmc`
with a coarse program a lineage, `[20, 10, 4]`; and `ifnb_pbmc` with `condition: condition`, whose
programs are tested. Mixing is that of `evidence.mixing`: 1 where
batches do not matter, 0 where they separate all cells. The other measures are those of `answer`.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from neuralNMF.batches.factors import batch_of_cells
from neuralNMF.dataset import InputSpec, build_dataset
from neuralNMF.evidence.agreement import hierarchy
from neuralNMF.evidence.conditions import condition_table
from neuralNMF.evidence.label_scores import counted
from neuralNMF.evidence.mixing import mixing
from neuralNMF.evidence.programs import judge_programs
from neuralNMF.io.dataset import open_dataset
from neuralNMF.io.model import Model

from benchmarks.answer import measures
from benchmarks.answer.ours import fitted, options_of

COLUMNS = {"ifnb_pbmc": "condition", "zilionis_lung": "animal"}
SEEDS = {"ifnb_pbmc": range(3), "zilionis_lung": range(5)}
LAYERS = {"ifnb_pbmc": ([20, 10, 5], [20, 10, 4]), "zilionis_lung": ([20, 10, 5],)}
# Of `ifnb_pbmc`, natural killer cells are of the T cells' lineage; of `pbmc_facs` they are not.
APART = "NK"
SEED = 0  # of clustering


def model_of(source: Path, sizes: list[int], batch: str | None, seed: int) -> Model:
    """The layers of a file's cells, with the factors of the batches of a column or without."""
    of_dataset, layers = options_of({"layers": sizes})
    with TemporaryDirectory() as folder:
        path = Path(folder) / "dataset.h5ad"
        chosen = replace(of_dataset, batch=batch)
        build_dataset([InputSpec(source, source.stem)], path, chosen, progress=False)
        return fitted(open_dataset(path), [replace(each, batch=batch) for each in layers], seed)


def figures(model: Model, column: str) -> dict[str, float]:
    """Mixing and measures of layer 1, and the hierarchy of all layers."""
    fine, coarse = (model.obs[name].astype(str).to_numpy() for name in ("celltype", "lineage"))
    usages = model.usages
    rows = [measures.of_layer(usage, fine, coarse, SEED) for usage in usages]
    there = counted(fine) & counted(coarse)
    thetas = [usages[0][there], *model.thetas[1:]]
    batches = batch_of_cells(model.obs, column)
    apart = np.where(fine == APART, APART, coarse)
    return {
        "mixing": mixing(usages[0], {column: batches})[column],
        **{name: rows[0][name] for name in ("ap_fine", "knn_fine", "ari_coarse")},
        "best_ari_coarse": max(row["ari_coarse"] for row in rows),
        "hierarchy": hierarchy(thetas, fine[there], coarse[there]),
        "hierarchy_nk_apart": hierarchy(thetas, fine[there], apart[there]),
    }


def called(model: Model, column: str) -> list[dict]:
    """Programs that are called for a condition, the strongest first, with their markers."""
    judged = judge_programs(
        model.thetas,
        model.usages,
        model.betas,
        model.var["symbol"].to_numpy(),
        dead=model.dead,
        gene_scale=model.var["gene_scale"].to_numpy(),
    )
    names = [layer.names for layer in judged.evidence]
    table = condition_table(judged.usages, names, batch_of_cells(model.obs, column), None)
    strong = table.sort_values("effect", ascending=False).head(12)
    found = []
    for _, row in strong.iterrows():
        genes = judged.markers[int(row["layer"])][int(row["program"][1:]) - 1]
        found.append(
            {
                **{key: str(row[key]) for key in ("layer", "name", "condition", "called")},
                "effect": float(row["effect"]),
                "markers": [str(name) for name in judged.symbols[genes[:10]]],
            }
        )
    return found


def labelled(data: Path) -> dict:
    """Figures of each set with and without its batches, and what is called for its condition."""
    found: dict = {}
    for name, column in COLUMNS.items():
        source = data / f"{name}.h5ad"
        if not source.exists():
            found[name] = {"left_out": f"{name}: not in the data folder"}
            continue
        for sizes, batch in itertools.product(LAYERS[name], (None, column)):
            models = [model_of(source, sizes, batch, seed) for seed in SEEDS[name]]
            rows = [figures(model, column) for model in models]
            means = {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}
            found[f"{name}, {sizes}, batch: {batch}"] = {"mean": means, "seeds": rows}
            if batch is None and column == "condition" and sizes == LAYERS[name][0]:
                found[f"{name}, condition: {column}"] = called(models[0], column)
    return found
