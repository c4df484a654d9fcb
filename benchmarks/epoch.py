"""An epoch at 200,000 x 2,000, 5 % non-zero, k = 20, beside the two bare scipy products."""

import statistics
import time

import torch
from neuralNMF.cells.products import rows_products
from neuralNMF.least_squares.network import NeuralNMF
from neuralNMF.least_squares.optimize import Auto
from neuralNMF.threads import Threads, threads_of_a_fit

from benchmarks.common import folders, save, sparse_counts

TURNS = 7


def measure(counts, start, right, threads: Threads) -> dict:
    left = start.numpy().copy()
    products = rows_products(counts, threads=threads)
    auto = Auto(NeuralNMF([start.clone()], threads=threads), products)
    for _ in range(3):
        auto.epoch()
    bare, own, two = [], [], []
    for _ in range(TURNS):
        before = time.perf_counter()
        counts @ right
        counts.T @ left
        bare.append(time.perf_counter() - before)
        before = time.perf_counter()
        products.times(torch.from_numpy(right).double())
        products.transposed_times(start)
        two.append(time.perf_counter() - before)
        before = time.perf_counter()
        auto.epoch()
        own.append(time.perf_counter() - before)
    return {
        "bare_seconds": statistics.median(bare),
        "our_products_seconds": statistics.median(two),
        "epoch_seconds": statistics.median(own),
        "ratio": statistics.median([a / b for a, b in zip(own, bare, strict=True)]),
    }


def main() -> None:
    _, out = folders()
    counts = sparse_counts(200_000, 2000, 100)
    generator = torch.Generator().manual_seed(0)
    start = torch.rand((200_000, 20), generator=generator)
    right = torch.rand((2000, 20), generator=generator).numpy()
    figures = {"nonzeros": int(counts.nnz)}
    for count in (1, 2):
        with threads_of_a_fit(count) as threads:
            figures[f"threads_{count}"] = measure(counts, start, right, threads)
    save(out, "epoch", figures)


main()
