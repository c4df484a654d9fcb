"""A CUDA device beside the cores of its machine: epochs, streamed epochs, and whole fits.

The first shape is that of RcppML's documents, 40,000 x 5,000 with 33 million non-zeros, 20 programs
and 20 iterations. Where there is no CUDA device the cores are measured alone.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import scipy.sparse as sp
import torch
from neuralNMF.cells.counts import rows_counts
from neuralNMF.cells.place import Place
from neuralNMF.cells.products import Products
from neuralNMF.cells.sums import block_borders
from neuralNMF.evidence.matching import match_by_genes
from neuralNMF.fit import fit_layer
from neuralNMF.io.dataset import open_dataset
from neuralNMF.least_squares.network import NeuralNMF
from neuralNMF.least_squares.optimize import Auto
from neuralNMF.options import LayerOptions
from neuralNMF.threads import Threads, threads_of_a_fit

from benchmarks.common import folders, save, sparse_counts, timed
from benchmarks.planted import simulate_hierarchy

DEVICES = ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",)
EPOCHS, WARM = 20, 3
RCPPML = (40_000, 5000, 825)


@dataclass(frozen=True)
class Shape:
    """N cells x M genes, so many non-zeros a cell."""

    cells: int
    genes: int
    per_cell: int


def finished(device: str) -> None:
    """Wait for the device, which works on its own."""
    if device == "cuda":
        torch.cuda.synchronize()


def moved(counts: sp.csr_matrix, device: str, threads: Threads) -> Products:
    """The products of counts on a device, without scaling."""
    place = Place(device, torch.float32, threads)
    indptr = counts.indptr.astype(np.int64)
    ones, borders = np.ones(counts.shape[0]), block_borders(indptr, counts.shape[1])
    block = place.rows(indptr, counts.indices, counts.data, ones, counts.shape[1], borders)
    return Products(lambda: [(0, counts.shape[0], block)], counts.shape, None, place)


def epochs(counts: sp.csr_matrix, layers: list[int], device: str, threads: Threads) -> dict:
    """Seconds to move the counts and form the sums, of 20 epochs, and of one (median)."""
    begun = time.perf_counter()
    products = moved(counts, device, threads)
    generator = torch.Generator().manual_seed(0)
    thetas = [torch.rand((counts.shape[0], layers[0]), generator=generator).to(device)]
    for above, rank in zip(layers, layers[1:], strict=False):
        thetas.append(torch.rand((above, rank), generator=generator).double())
    optimizer = Auto(NeuralNMF(thetas, loss="nested", threads=threads), products)
    finished(device)
    ready = time.perf_counter()
    taken = []
    for _ in range(EPOCHS):
        before = time.perf_counter()
        optimizer.epoch()
        finished(device)
        taken.append(time.perf_counter() - before)
    return {
        "ready_seconds": ready - begun,
        "twenty_epochs_seconds": sum(taken),
        "epoch_seconds": statistics.median(taken),
        "loss": optimizer.found.loss.item(),
    }


def poisson_pass(counts: sp.csr_matrix, rank: int, device: str, threads: Threads) -> dict:
    """Seconds of the passes of a Poisson model over the counts (median)."""
    held = rows_counts(counts, device=device, threads=threads)
    generator = torch.Generator().manual_seed(0)
    theta = torch.rand((counts.shape[0], rank), generator=generator).to(device)
    programs = torch.rand((counts.shape[1], rank), generator=generator).double()
    passes = {
        "rates": partial(held.rates, theta, programs, rows=True, columns=True),
        "hessian": partial(held.hessian, theta, programs),
    }
    result = {}
    for name, function in passes.items():
        taken = []
        for turn in range(WARM + 7):
            before = time.perf_counter()
            function()
            finished(device)
            if turn >= WARM:
                taken.append(time.perf_counter() - before)
        result[f"{name}_seconds"] = statistics.median(taken)
    return result


def whole_fits(path: Path, truth: Mapping[str, np.ndarray], *keys: dict) -> list[dict]:
    """Seconds of fits of [20, 10] to their stopping rule."""
    dataset, found = open_dataset(path), []
    for options in keys:
        model, seconds = None, 0.0
        for rank in (20, 10):
            asked = LayerOptions(rank=rank, **options)
            model, taken = timed(partial(fit_layer, dataset, model, asked, progress=False))
            seconds += taken
        cosines = match_by_genes(model.betas[0], truth["fine"])[1]
        found.append(
            {**options, "seconds": seconds, "least_cosine_fine": float(np.nanmin(cosines))}
        )
    return found


def main() -> None:
    _, out = folders()
    cores = os.cpu_count() or 1
    figures: dict = {"cores": cores}
    if "cuda" in DEVICES:
        figures["device"] = torch.cuda.get_device_name()
    with threads_of_a_fit(cores) as threads:
        small = sparse_counts(1000, 500, 50)
        for device in DEVICES:  # loops are compiled, and the device set up
            epochs(small, [20, 10, 5], device, threads)
            poisson_pass(small, 20, device, threads)
        for name, shape in {"rcppml": Shape(*RCPPML), "cells": Shape(1_000_000, 2000, 100)}.items():
            counts = sparse_counts(shape.cells, shape.genes, shape.per_cell)
            figures[name] = {
                device: {
                    "one_layer": epochs(counts, [20], device, threads),
                    "three_layers": epochs(counts, [20, 10, 5], device, threads),
                    "poisson": poisson_pass(counts, 20, device, threads),
                }
                for device in DEVICES
            }
    if "cuda" in DEVICES:
        figures["peak_gpu_gb"] = torch.cuda.max_memory_allocated() / 1e9
    path = out / "gpu.h5ad"
    simulate_hierarchy(path, 200_000, 2000, rng=np.random.default_rng(0))
    truth = np.load(out / "gpu_truth.npz")
    warm: list[dict] = [{"device": device} for device in DEVICES]
    whole_fits(path, truth, *warm)
    streamed = [{"device": device, "data_mem_size": 50_000} for device in DEVICES]
    poisson = [{"device": d, "beta": "learned", "loss": "nested_poisson"} for d in DEVICES]
    figures["fits_of_200_000_cells"] = whole_fits(path, truth, *warm, *streamed, *poisson)
    path.unlink()
    save(out, "gpu", figures)


main()
