"""300 epochs at 1000 x 2000, [20, 10], in turns with the PyPI package NeuralNMF 1.0.0."""

import statistics
import time

import torch
from neuralNMF.cells.products import tensor_products
from neuralNMF.least_squares.network import NeuralNMF
from neuralNMF.least_squares.optimize import Auto
from NeuralNMF.model import Neural_NMF
from NeuralNMF.train import train_unsupervised

from benchmarks.common import dense, example_dataset, folders, save

TURNS = 3
EPOCHS = 100


def main() -> None:
    data, out = folders()
    matrix = dense(example_dataset(data, out))
    generator = torch.Generator().manual_seed(0)
    thetas = [
        torch.rand((1000, 20), generator=generator),
        torch.rand((20, 10), generator=generator, dtype=torch.float64),
    ]
    auto = Auto(NeuralNMF(thetas), tensor_products(matrix))
    auto.epoch()
    torch.manual_seed(0)
    peer = Neural_NMF([1000, 20, 10]).double()
    ours, theirs = [], []
    for _ in range(TURNS):
        before = time.perf_counter()
        train_unsupervised(peer, matrix.double(), epoch=1, lr=1e-9, verbose=False)
        theirs.append(time.perf_counter() - before)
        before = time.perf_counter()
        for _ in range(EPOCHS):
            auto.epoch()
        ours.append((time.perf_counter() - before) / EPOCHS)
    ratios = [b / a for a, b in zip(ours, theirs, strict=True)]
    figures = {
        "ours_ms": 1e3 * statistics.median(ours),
        "peer_ms": 1e3 * statistics.median(theirs),
        "ratio": statistics.median(ratios),
        "ratio_least": min(ratios),
    }
    save(out, "peer", figures)


main()
