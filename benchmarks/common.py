"""What the benchmarks share: timing, data, memory, results."""

from __future__ import annotations

import json
import resource
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import scipy.sparse as sp
import torch
from neuralNMF.dataset import DatasetOptions, InputSpec, build_dataset
from neuralNMF.fit import fit_layer
from neuralNMF.io.dataset import Dataset, open_dataset, write_dataset
from neuralNMF.io.model import Model
from neuralNMF.options import LayerOptions
from neuralNMF.simulate import simulate

BLOOD_CELLS = "pbmc_facs.h5ad"
Result = TypeVar("Result")


def folders() -> tuple[Path, Path]:
    """(data folder, output folder) from the command line."""
    return Path(sys.argv[1]), Path(sys.argv[2])


def save(out: Path, name: str, figures: dict) -> None:
    (out / f"{name}.json").write_text(json.dumps(figures, indent=1))


def timed(
    function: Callable[[], Result], clock: Callable[[], float] = time.perf_counter
) -> tuple[Result, float]:
    """(what the function returns, its seconds)."""
    before = clock()
    result = function()
    return result, clock() - before


def median_seconds(function: Callable[[], object], repeats: int = 7) -> float:
    function()
    return statistics.median(timed(function)[1] for _ in range(repeats))


def peak_bytes() -> int:
    """The most memory this process has held so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def example_dataset(data: Path, out: Path):
    """The original's simulated file where it is at hand, else one drawn alike."""
    path = out / "example.h5ad"
    source = data / "sim_original.h5"
    if source.exists():
        build_dataset([InputSpec(source, "sim")], path, DatasetOptions(), progress=False)
    else:
        drawn = simulate(1000, 2000, 10, rng=np.random.default_rng(0))
        write_dataset(path, sp.csr_matrix(drawn.counts))
    return open_dataset(path)


def blood_cells(data: Path, out: Path) -> Dataset | None:
    """Sorted blood cells, the 2,000 most variable genes; None where the file is not at hand.

    By Pearson residuals, so that the figures compare with those of earlier versions.
    """
    source = data / BLOOD_CELLS
    if not source.exists():
        return None
    path = out / "pbmc.h5ad"
    options = DatasetOptions(variable_genes=2000, variable_genes_by="pearson", min_cells=20)
    build_dataset([InputSpec(source, "pbmc")], path, options, progress=False)
    return open_dataset(path)


def on_blood_cells(name: str, measure: Callable[[Dataset], dict]) -> None:
    """Saves what ``measure`` finds on the blood cells, or that they are not at hand."""
    data, out = folders()
    dataset = blood_cells(data, out)
    left_out = {"left_out": f"{BLOOD_CELLS} is not in the data folder"}
    save(out, name, left_out if dataset is None else measure(dataset))


def fit_layers(dataset: Dataset, ranks: Sequence[int], **keys) -> Model:
    """The layers one after the other, with the same options."""
    model = None
    for rank in ranks:
        model = fit_layer(dataset, model, LayerOptions(rank=rank, **keys), progress=False)
    return model


def dense(dataset) -> torch.Tensor:
    return torch.as_tensor(dataset.rows(0, dataset.shape[0]).toarray())


def sparse_counts(cells: int, genes: int, per_cell: int, seed: int = 0) -> sp.csr_matrix:
    """Uniform sparse counts: the cost of the products depends on nothing else."""
    rng = np.random.default_rng(seed)
    indptr = np.concatenate([[0], np.cumsum(rng.poisson(per_cell, cells))]).astype(np.int32)
    indices = rng.integers(0, genes, indptr[-1], dtype=np.int32)
    data = rng.poisson(1, indptr[-1]).astype(np.float32) + 1
    matrix = sp.csr_matrix((data, indices, indptr), shape=(cells, genes))
    matrix.sort_indices()
    return matrix
