"""An epoch at 200,000 x 2,000, 5 % non-zero, k = 20, beside the two bare scipy products.

And one of three layers, [20, 10, 5], by each loss, taking turns.
"""

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


def by_loss(counts, start, threads: Threads) -> dict:
    """Seconds of an epoch of three layers by each loss, and the ratio of the two."""
    products = rows_products(counts, threads=threads)
    generator = torch.Generator().manual_seed(1)
    later = [torch.rand(shape, generator=generator).double() for shape in ((20, 10), (10, 5))]
    optimizers = {}
    for loss in ("nested", "reconstruction"):
        thetas = [start.clone(), *(theta.clone() for theta in later)]
        optimizers[loss] = Auto(NeuralNMF(thetas, loss=loss, threads=threads), products)
    taken = {loss: [] for loss in optimizers}
    for turn in range(3 + TURNS):
        for loss, optimizer in optimizers.items():
            before = time.perf_counter()
            optimizer.epoch()
            if turn >= 3:
                taken[loss].append(time.perf_counter() - before)
    pairs = zip(*taken.values(), strict=True)
    return {
        **{f"{loss}_seconds": statistics.median(each) for loss, each in taken.items()},
        "nested_to_reconstruction": statistics.median([a / b for a, b in pairs]),
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
            figures[f"threads_{count}_three_layers"] = by_loss(counts, start, threads)
    save(out, "epoch", figures)


main()
