"""Seconds per non-zero and epoch from 10,000 to 1,000,000 cells; a curve."""

import statistics
import time

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import torch
from neuralNMF.network import NeuralNMF
from neuralNMF.optimize import Auto
from neuralNMF.products import rows_products

from benchmarks.common import folders, save, sparse_counts

SIZES = (10_000, 30_000, 100_000, 300_000, 1_000_000)


def main() -> None:
    _, out = folders()
    rows = {}
    for cells in SIZES:
        counts = sparse_counts(cells, 2000, 100)
        start = torch.rand((cells, 20), generator=torch.Generator().manual_seed(0))
        auto = Auto(NeuralNMF([start]), rows_products(counts))
        for _ in range(3):
            auto.epoch()
        taken = []
        for _ in range(7):
            before = time.perf_counter()
            auto.epoch()
            taken.append(time.perf_counter() - before)
        rows[cells] = {
            "epoch_seconds": statistics.median(taken),
            "nanoseconds_per_nonzero": 1e9 * statistics.median(taken) / counts.nnz,
        }
    costs = [row["nanoseconds_per_nonzero"] for row in rows.values()]
    figures = {"threads": torch.get_num_threads(), "cells": rows}
    figures["most_over_least"] = max(costs) / min(costs)
    figures["million_over_ten_thousand"] = costs[-1] / costs[0]
    save(out, "scale", figures)
    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    axes.loglog(list(rows), [row["epoch_seconds"] for row in rows.values()], marker="o")
    axes.set_xlabel("cells (2,000 genes, 5 % non-zero)")
    axes.set_ylabel("seconds an epoch, rank 20")
    axes.set_title(f"Cost of an epoch, {torch.get_num_threads()} threads")
    axes.grid(alpha=0.3)
    figure.savefig(out / "scale.png", dpi=120)


main()
