"""Seconds a non-zero and epoch, 10,000 to 1,000,000 cells of the planted programs; a curve."""

import statistics

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import torch
from neuralNMF.cells.products import rows_products
from neuralNMF.io.dataset import open_dataset
from neuralNMF.least_squares.network import NeuralNMF
from neuralNMF.least_squares.optimize import Auto
from neuralNMF.threads import Threads, threads_of_a_fit

from benchmarks.common import folders, save, timed
from benchmarks.million import planted

# Of the planted programs elsewhere; and of the 2,000 variable genes of the blood cells.
DENSITIES = {"million": 0.05, "million_denser": 0.117}
SIZES = (10_000, 30_000, 100_000, 300_000, 1_000_000)
# A few epochs from the start: once a fit has settled, steps that fail take further passes.
RANK, BEFORE, ROUNDS, TURNS = 20, 5, 7, 3


def costs(counts: dict, threads: Threads) -> dict:
    """Of an epoch at each size; they take turns, as other work on the machine comes and goes."""
    fits = {}
    for cells, matrix in counts.items():
        start = torch.rand((cells, RANK), generator=torch.Generator().manual_seed(0))
        products = rows_products(matrix, threads=threads)
        fits[cells] = Auto(NeuralNMF([start], threads=threads), products)
        for _ in range(BEFORE):
            fits[cells].epoch()
    seconds: dict = {cells: [] for cells in counts}
    for _ in range(ROUNDS):
        for cells, fit in fits.items():
            fit.epoch()  # not timed: it finds the caches full of the last size's numbers
            seconds[cells] += [timed(fit.epoch)[1] for _ in range(TURNS)]
    return {
        cells: {
            "epoch_seconds": statistics.median(times),
            "nanoseconds_per_nonzero": 1e9 * statistics.median(times) / counts[cells].nnz,
        }
        for cells, times in seconds.items()
    }


def main() -> None:
    _, out = folders()
    figures: dict = {"rank": RANK}
    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    for name, density in DENSITIES.items():
        dataset = open_dataset(planted(out, name, density))
        # In memory, not mapped.
        counts = {cells: dataset.rows(0, cells).copy() for cells in SIZES}
        for threads in (1, 2):
            with threads_of_a_fit(threads) as shared:
                rows = costs(counts, shared)
            each = [row["nanoseconds_per_nonzero"] for row in rows.values()]
            label = f"{density:.0%} non-zero, {threads} thread{'s' if threads > 1 else ''}"
            figures[label] = {
                "cells": rows,
                "last_over_first": each[-1] / each[0],
                "most_over_least": max(each) / min(each),
            }
            axes.loglog(list(rows), each, marker="o", label=label)
    save(out, "scale", figures)
    axes.set_xlabel("cells (2,000 genes)")
    axes.set_ylabel(f"nanoseconds a non-zero and epoch, rank {RANK}")
    axes.set_ylim(1, 20)
    axes.set_title("Cost of an epoch")
    axes.legend()
    axes.grid(alpha=0.3, which="both")
    figure.savefig(out / "scale.png", dpi=120)


main()
