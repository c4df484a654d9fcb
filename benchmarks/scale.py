"""Seconds a non-zero and epoch, 10,000 to 1,000,000 cells of the planted programs; a curve."""

import statistics

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import torch
from neuralNMF.io.dataset import open_dataset
from neuralNMF.network import NeuralNMF
from neuralNMF.optimize import Auto
from neuralNMF.products import rows_products

from benchmarks.common import folders, save, timed
from benchmarks.million import planted

SIZES = (10_000, 30_000, 100_000, 300_000, 1_000_000)
RANK, BEFORE, TURNS = 20, 10, 9


def cost(counts, threads: int) -> dict:
    start = torch.rand((counts.shape[0], RANK), generator=torch.Generator().manual_seed(0))
    products = rows_products(counts, threads=threads)
    auto = Auto(NeuralNMF([start], threads=threads), products, threads=threads)
    for _ in range(BEFORE):
        auto.epoch()
    seconds = statistics.median(timed(auto.epoch)[1] for _ in range(TURNS))
    return {"epoch_seconds": seconds, "nanoseconds_per_nonzero": 1e9 * seconds / counts.nnz}


def main() -> None:
    _, out = folders()
    dataset = open_dataset(planted(out))
    figures: dict = {"rank": RANK}
    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    for threads in (1, 2):
        torch.set_num_threads(threads)
        rows = {}
        for cells in SIZES:
            counts = dataset.rows(0, cells).copy()  # in memory, not mapped
            rows[cells] = cost(counts, threads)
        costs = [row["nanoseconds_per_nonzero"] for row in rows.values()]
        figures[f"threads_{threads}"] = {"cells": rows, "most_over_least": max(costs) / min(costs)}
        label = f"{threads} thread{'s' if threads > 1 else ''}"
        axes.loglog(
            list(rows), [row["epoch_seconds"] for row in rows.values()], marker="o", label=label
        )
    save(out, "scale", figures)
    axes.set_xlabel("cells (2,000 genes, 5 % non-zero)")
    axes.set_ylabel(f"seconds an epoch, rank {RANK}")
    axes.set_title("Cost of an epoch")
    axes.legend()
    axes.grid(alpha=0.3)
    figure.savefig(out / "scale.png", dpi=120)


main()
