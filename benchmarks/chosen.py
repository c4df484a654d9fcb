"""The layers that `layers: auto` chooses for the labelled sets, beside `[20, 10]`.

Of each: the share of the programs of each layer that is found again in other cells, and how well
the labels, which no fit sees, agree with the programs (measures of `answer`, best layer of each).

    python -m benchmarks.chosen ../shared/data benchmarks/out
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from neuralNMF.io.dataset import Dataset
from neuralNMF.io.model import Model
from neuralNMF.options import LayerOptions
from neuralNMF.sizes.choose import choose_layers
from neuralNMF.sizes.trial import Trials

from benchmarks.answer import measures
from benchmarks.answer.answer import Answer, flow
from benchmarks.answer.ours import dataset_of, fitted, of_all, options_of
from benchmarks.answer.sets import SETS, Cells, read_set
from benchmarks.common import folders, save, timed
from benchmarks.planted_sizes import SIZES

FIXED = (20, 10)
MEASURES = ("ap_fine", "knn_fine", "ari_fine", "ari_coarse")
SEEDS = 1


def model_of(dataset: Dataset, layers: Sequence[int], options: LayerOptions) -> Model:
    asked = [replace(options, rank=rank) for rank in layers]
    return fitted(dataset, asked, options.seed)


def figures(model: Model, dataset: Dataset, cells: Cells) -> dict:
    """What a model is worth by the labels, and which share of each layer is found again."""
    usages = [of_all(usage, dataset, cells) for usage in model.usages]
    answer = Answer([usages[0], *model.thetas[1:]], usages, lambda _: usages)
    rows = [measures.of_layer(usage, cells.fine, cells.coarse, 0) for usage in usages]
    again = model.replication
    return {
        "programs": model.layers,
        "found_again": [
            float(again.loc[again["layer"] == layer, "replicated"].mean())
            for layer in range(1, len(model.layers) + 1)
        ],
        "hierarchy": flow(answer, cells),
        **{name: max(row[name] for row in rows) for name in MEASURES},
    }


def of_set(cells: Cells, seed: int) -> dict:
    dataset_options, (first, *_) = options_of({"layers": list(FIXED)})
    options = replace(first, seed=seed)
    with TemporaryDirectory() as folder:
        dataset = dataset_of(cells, dataset_options, Path(folder))
        trials = Trials(dataset, options, progress=False)
        choice, seconds = timed(lambda: choose_layers(trials, trials.first_layers(SIZES)))
        fixed = figures(model_of(dataset, FIXED, options), dataset, cells)
        auto = figures(model_of(dataset, choice.layers, options), dataset, cells)
    shown = choice.tried[["layer", "before", "size", "programs", "replicated", "held_out"]]
    return {
        "fixed": fixed,
        "auto": auto | {"layers": choice.layers, "reason": choice.reason, "seconds": seconds},
        "tried": shown.replace({np.nan: None}).to_dict(orient="records"),
    }


def measure(data: Path, out: Path) -> None:
    found: dict[str, dict] = {}
    for name in SETS:
        if (data / f"{name}.h5ad").exists():
            cells = read_set(data, name)
            for seed in range(SEEDS):
                found[f"{name}, seed {seed}"] = of_set(cells, seed)
                save(out, "chosen", found)  # a run that is broken off has not been for nothing
        else:
            found[name] = {"left_out": f"{name}: not in the data folder"}
    save(out, "chosen", found)


if __name__ == "__main__":
    measure(*folders())
