"""The library as a user runs it: a config's keys, a data set, layer after layer.

The keys are those of `configs/pbmc.yaml`, the config for real data, with what a configuration below
changes; the workflow's own code fills in the rest. So a default that changes there changes here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
import yaml
from neuralNMF.cells.scaling import Scaling, scaled_matrix
from neuralNMF.consensus.fit import add_layer
from neuralNMF.consensus.parts import cells_of
from neuralNMF.dataset import DatasetOptions, InputSpec, build_dataset
from neuralNMF.fit import fit_layer
from neuralNMF.io.dataset import Dataset, open_dataset
from neuralNMF.io.model import Model
from neuralNMF.options import POISSON, LayerOptions
from nmf_workflow import config, params, schema

from benchmarks.answer import measures
from benchmarks.answer.answer import Answer, Method
from benchmarks.answer.sets import Cells

REAL_DATA = Path(__file__).resolve().parents[2] / "configs" / "pbmc.yaml"
# What a configuration changes of the config for real data. More of them: `run --candidates FILE`.
CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "ours, two layers": {"layers": [20, 10]},
    "ours, three layers": {"layers": [20, 10, 5]},
    "ours, poisson": {
        "layers": [20, 10, 5],
        "beta": "learned",
        "loss": POISSON[0],
    },
}
FLAT_STARTS = 3


def options_of(keys: Mapping[str, Any]) -> tuple[DatasetOptions, list[LayerOptions]]:
    """What the workflow asks the library for, by the config for real data with some keys changed.

    A key that the config has not goes straight to `DatasetOptions` or `LayerOptions`.
    """
    raw = yaml.safe_load(REAL_DATA.read_text())
    raw.pop("runs", None)
    # The check of a config wants an input that is there; the counts are not read from it.
    raw["samples"] = {"cells": {"input": str(REAL_DATA)}}
    known = schema.load_schema()
    of_layers, beside = _split(keys, schema.properties(known))
    of_dataset, beside_dataset = _split(
        of_layers.pop("dataset", {}), schema.properties(schema.child(known, "dataset"))
    )
    dataset = raw.pop("dataset", {}) | of_dataset
    loaded = config.load({**raw, **of_layers, "dataset": dataset})
    plan, rule = params.Plan(loaded), SimpleNamespace(sample="cells", run="main")
    numbers = range(1, len(loaded.runs["main"]["layers"]) + 1)
    layers = [LayerOptions(**plan.layer(number)(rule) | beside) for number in numbers]
    return DatasetOptions(**plan.dataset(rule) | beside_dataset), layers


def _split(keys: Mapping[str, Any], known: Mapping[str, Any]) -> tuple[dict, dict]:
    """The keys that the config has, and the others."""
    return (
        {key: value for key, value in keys.items() if key in known},
        {key: value for key, value in keys.items() if key not in known},
    )


def dataset_of(cells: Cells, options: DatasetOptions, folder: Path) -> Dataset:
    """The data set of some cells, by way of a file as a user has it."""
    folder.mkdir(exist_ok=True)
    cells.annotated().write_h5ad(folder / "cells.h5ad")
    source = InputSpec(folder / "cells.h5ad", "cells")
    build_dataset([source], folder / "dataset.h5ad", options, progress=False)
    return open_dataset(folder / "dataset.h5ad")


def fitted(dataset: Dataset, layers: Sequence[LayerOptions], seed: int) -> Model:
    model = None
    for options in layers:
        model = add_layer(dataset, model, replace(options, seed=seed), progress=False)
    assert model is not None
    return model


def of_all(rows: np.ndarray, dataset: Dataset, cells: Cells) -> np.ndarray:
    """Rows of the data set's cells among those of all; a cell that was left out has zeros."""
    whole = np.zeros((cells.number, rows.shape[1]))
    whole[pd.Index(cells.names).get_indexer(dataset.obs.index)] = rows
    return whole


def of_rank(usage: np.ndarray, rank: int) -> np.ndarray:
    """The usage (N, rank) with a column of zeros, a dead program, for each that was given up."""
    return np.pad(usage, ((0, 0), (0, rank - usage.shape[1])))


def error_of(dataset: Dataset, model: Model, options: LayerOptions, number: int) -> float:
    """Of a layer, its programs refitted: relative squared error, of counts' losses the deviance."""
    counts, usage = dataset.rows(0, dataset.shape[0]), model.usages[number].astype(np.float64)
    cell_scale = model.obs["cell_scale"].to_numpy()
    if options.loss in POISSON:
        of_counts = usage / cell_scale[:, None]
        programs_t = measures.projected_by_rates(counts.T.tocsr(), of_counts.T)
        return measures.deviance(counts, of_counts, programs_t.T)
    return measures.refitted_error(scaled(counts, cell_scale, model, options), usage)


def scaled(
    counts: sp.csr_matrix, cell_scale: np.ndarray, model: Model, options: LayerOptions
) -> sp.csr_matrix:
    """X' of counts (n, M) by a model's factors of the genes and the cells' own."""
    gene_scale = model.var["gene_scale"].to_numpy()
    return scaled_matrix(counts, Scaling(cell_scale, gene_scale, options.transform))


def projected(model: Model, options: LayerOptions, cells: Cells) -> list[np.ndarray]:
    """Usage of a model's programs in any cells that hold its own, on the scale of its fit.

    The library gives the cells' factors for the model's genes. Its common factor, from the median
    total of the cells at hand, is brought to the model's, which is that of the cells it was fitted
    to.
    """
    genes = DatasetOptions(genes=list(map(str, model.var.index)), min_cells=0)
    with TemporaryDirectory() as folder:
        dataset = dataset_of(cells, genes, Path(folder))
        counts = dataset.rows(0, dataset.shape[0])
        counts = counts[:, dataset.var.index.get_indexer(model.var.index)]
        single = replace(options, rank=1, epochs=0)
        own = fit_layer(dataset, None, single, progress=False).obs["cell_scale"]
    common = (model.obs["cell_scale"] / own.reindex(model.obs.index)).median()
    cell_scale = common * own.to_numpy()
    if options.loss in POISSON:
        rates = [measures.projected_by_rates(counts, beta) for beta in model.betas]
        usages = [each * cell_scale[:, None] for each in rates]
    else:
        matrix = scaled(counts, cell_scale, model, options)
        usages = [measures.projected(matrix, beta) for beta in model.betas]
    return [of_all(usage, dataset, cells) for usage in usages]


def method_of(keys: Mapping[str, Any]) -> Method:
    """The whole way from counts to layers by a configuration."""
    dataset_options, layers = options_of(keys)

    def method(cells: Cells, seed: int) -> Answer:
        with TemporaryDirectory() as folder:
            dataset = dataset_of(cells, dataset_options, Path(folder))
            model = fitted(dataset, layers, seed)
            dataset.map()  # the counts stay mapped when the file is gone
        usages = [of_all(usage, dataset, cells) for usage in model.usages]
        ranks = [options.rank for options in layers]
        return Answer(
            [usages[0], *model.thetas[1:]],
            [of_rank(usage, rank) for usage, rank in zip(usages, ranks, strict=True)],
            lambda others: projected(model, layers[0], others),
            lambda number: error_of(dataset, model, layers[0], number),
        )

    return method


def flat_errors(keys: Mapping[str, Any], cells: Cells) -> Callable[[int], float]:
    """The least error of a single layer of some rank, of three starts: of a fit without consensus.

    It keeps all of its programs, so it has as many as the layer that it stands beside.
    """
    dataset_options, layers = options_of(keys)
    with TemporaryDirectory() as folder:
        written = dataset_of(cells, dataset_options, Path(folder))
        dataset = cells_of(written, np.arange(written.shape[0]))  # in memory

    @cache
    def error(rank: int) -> float:
        options = replace(layers[0], rank=rank, consensus=False, min_support=0.0)
        models = [fitted(dataset, [options], seed) for seed in range(FLAT_STARTS)]
        return min(error_of(dataset, model, options, 0) for model in models)

    return error
