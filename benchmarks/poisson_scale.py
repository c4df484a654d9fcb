"""Epochs of the Poisson models from 10,000 to 1,000,000 cells: passes, nanoseconds a non-zero."""

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import torch
from neuralNMF.cells.counts import Counts, rows_counts
from neuralNMF.poisson.network import LearnedPoisson
from neuralNMF.poisson.optimize import Multiplicative
from neuralNMF.poisson.pmf import PmfPoisson
from neuralNMF.poisson.posterior import GammaPrior
from neuralNMF.poisson.starts import random_start
from neuralNMF.threads import Threads, threads_of_a_fit

from benchmarks.common import folders, median_seconds, save, sparse_counts

GENES, PER_CELL, RANK = 2000, 100, 20
SIZES = {
    "learned": (10_000, 30_000, 100_000, 300_000, 1_000_000),
    "pmf": (10_000, 30_000, 100_000, 300_000),
}
EPOCHS = 7


class Counted(Counts):
    """Counts that count the passes over them."""

    passes = 0

    def rates(self, *args, **keys):
        self.passes += 1
        return super().rates(*args, **keys)

    def curvature(self, *args, **keys):
        self.passes += 1
        return super().curvature(*args, **keys)

    def hessian(self, *args, **keys):
        self.passes += 1
        return super().hessian(*args, **keys)


def optimizer(kind: str, counts: Counts) -> Multiplicative:
    """Of one layer, from a random start."""
    generator = torch.Generator().manual_seed(0)
    drawn = torch.rand((counts.shape[0], RANK), generator=generator, dtype=torch.float64)
    start = random_start(counts, drawn, generator)
    theta, programs_t = start.thetas[0], start.programs_t[0]
    if kind == "learned":
        return Multiplicative(LearnedPoisson([theta], [programs_t]), counts)
    # As in a fit: a cell's usage is one on average.
    size = float(theta.sum(1).mean())
    return Multiplicative(PmfPoisson([theta / size], GammaPrior(), [programs_t * size]), counts)


def cost(kind: str, cells: int, threads: Threads) -> dict:
    matrix = sparse_counts(cells, GENES, PER_CELL)
    counts = rows_counts(matrix, threads=threads)
    counts.__class__ = Counted
    trained = optimizer(kind, counts)
    counts.passes = 0  # less those of the first posterior
    seconds = median_seconds(trained.epoch, EPOCHS)
    return {
        "epoch_seconds": seconds,
        "nanoseconds_per_nonzero": 1e9 * seconds / matrix.nnz,
        "passes_an_epoch": counts.passes / (EPOCHS + 1),
    }


def main(out, sizes: dict[str, tuple[int, ...]] = SIZES) -> None:
    threads = torch.get_num_threads()
    figures: dict = {"threads": threads}
    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    for kind, steps in sizes.items():
        with threads_of_a_fit(threads) as shared:
            rows = {cells: cost(kind, cells, shared) for cells in steps}
        costs = [row["nanoseconds_per_nonzero"] for row in rows.values()]
        figures[kind] = {"cells": rows, "last_over_first": costs[-1] / costs[0]}
        axes.loglog(steps, costs, marker="o", label=f"beta: {kind}")
    save(out, "poisson_scale", figures)
    axes.set(xlabel="cells (2,000 genes, 5 % non-zero)", ylabel="ns an epoch and non-zero, rank 20")
    axes.set_title(f"Cost of an epoch, loss: poisson, {threads} threads")
    axes.legend()
    axes.grid(alpha=0.3)
    figure.savefig(out / "poisson_scale.png", dpi=120)


if __name__ == "__main__":
    main(folders()[1])
