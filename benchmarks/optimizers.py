"""Passes over X to an error, depth 1 and rank 20, from one start: which optimiser needs fewest.

Alternatives: the default (accelerated), the same without extrapolation (HALS with an exact beta),
exact alternation (both sides by NNLS, ANLS/BPP), accelerated projected gradient, Adam.
"""

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import torch
from neuralNMF.cells.products import Products, gram, tensor_products
from neuralNMF.cells.scaling import fit_scaling, scaled_matrix
from neuralNMF.least_squares.network import NeuralNMF
from neuralNMF.least_squares.optimize import Auto
from neuralNMF.solvers.nnls import nnls
from neuralNMF.training.projected import Projected

from benchmarks.common import blood_cells, dense, example_dataset, folders, save

PASSES = 200


class Counted(Products):
    """Products that count passes over X and write down the error at each."""

    passes = 0

    def times(self, right):
        self.passes += 1
        return super().times(right)

    def transposed_times(self, left):
        self.passes += 1
        return super().transposed_times(left)

    def move(self, move, theta, last):
        self.passes += 1
        return super().move(move, theta, last)


def counted(matrix: torch.Tensor) -> Counted:
    products = tensor_products(matrix)
    products.__class__ = Counted
    return products


def by_optimizer(products: Counted, make) -> list[tuple[int, float]]:
    optimizer = make(products)
    curve = [(products.passes, optimizer.found.error.item())]
    while products.passes < PASSES and optimizer.epoch():
        curve.append((products.passes, optimizer.found.error.item()))
    return curve


class Plain(Auto):
    """The default without extrapolation."""

    def epoch(self) -> bool:
        self._last = None
        return super().epoch()


def alternation(products: Counted, theta: torch.Tensor) -> list[tuple[int, float]]:
    """Both factors by exact NNLS in turn."""
    curve = []
    while products.passes < PASSES:
        own, cross = gram(theta), products.transposed_times(theta)
        programs_t = nnls(own, cross)
        fit = (
            products.square_sum
            - 2 * (programs_t * cross).sum()
            + ((programs_t @ own) * programs_t).sum()
        )
        curve.append((products.passes, fit.item()))
        usage = nnls(programs_t.T @ programs_t, products.times(programs_t).double())
        theta = usage.to(theta.dtype)
    return curve


def projected_gradient(products: Counted, theta: torch.Tensor) -> list[tuple[int, float]]:
    """Nesterov's accelerated projected gradient, step 1 / the largest curvature, with restarts."""
    network = NeuralNMF([theta])
    before, inertia, last = theta.clone(), 1.0, np.inf
    curve = []
    while products.passes < PASSES:
        network.zero_grad()
        found = network(products)
        found.loss.backward()
        error = found.error.item()
        curve.append((products.passes, error))
        curvature = torch.linalg.eigvalsh(network.curvatures(found)[0][1])[-1].item()
        point = network.thetas[0].data
        moved = (point - network.thetas[0].grad / (2 * curvature)).clamp_min(0)
        if error > last:
            inertia = 1.0
        following = (1 + (1 + 4 * inertia**2) ** 0.5) / 2
        network.thetas[0].data = (moved + (inertia - 1) / following * (moved - before)).clamp_min(0)
        before, inertia, last = moved, following, error
    return curve


def adam(products: Counted, theta: torch.Tensor) -> Projected:
    return Projected(NeuralNMF([theta]), products, kind="adam")


def compare(matrix: torch.Tensor) -> dict[str, list[tuple[int, float]]]:
    def start() -> torch.Tensor:
        generator = torch.Generator().manual_seed(0)
        return torch.rand((matrix.shape[0], 20), generator=generator)

    entries = matrix.numel()
    curves = {
        "auto (default)": by_optimizer(counted(matrix), lambda p: Auto(NeuralNMF([start()]), p)),
        "HALS": by_optimizer(counted(matrix), lambda p: Plain(NeuralNMF([start()]), p)),
        "alternating NNLS": alternation(counted(matrix), start()),
        "projected gradient": projected_gradient(counted(matrix), start()),
        "Adam": by_optimizer(counted(matrix), lambda p: adam(p, start())),
    }
    return {name: [(p, e / entries) for p, e in curve] for name, curve in curves.items()}


def main() -> None:
    data, out = folders()
    matrices = {"example": dense(example_dataset(data, out))}
    dataset = blood_cells(data, out)
    if dataset is not None:
        scaling = fit_scaling(dataset, "variance", "none")
        scaled = scaled_matrix(dataset.rows(0, dataset.shape[0]), scaling).toarray()
        matrices["pbmc"] = torch.as_tensor(scaled, dtype=torch.float32)
    figures = {}
    figure, axes = plt.subplots(1, len(matrices), figsize=(6 * len(matrices), 4), squeeze=False)
    for axis, (name, matrix) in zip(axes[0], matrices.items(), strict=True):
        curves = compare(matrix)
        lowest = min(error for curve in curves.values() for _, error in curve)
        figures[name] = {"lowest_mse": lowest, "passes_to_within": {}}
        for label, curve in curves.items():
            reached = {}
            for share in (0.02, 0.01, 0.005):
                hits = [passes for passes, error in curve if error <= (1 + share) * lowest]
                reached[f"{share:.1%}"] = hits[0] if hits else None
            figures[name]["passes_to_within"][label] = reached
            axis.semilogy(
                [passes for passes, _ in curve],
                [max(100 * (error / lowest - 1), 1e-3) for _, error in curve],
                label=label,
            )
        axis.set_xlabel("passes over X")
        axis.set_ylabel("error above the lowest found (%)")
        axis.set_ylim(1e-2, 100)
        axis.set_title(name)
        axis.legend()
    figure.tight_layout()
    figure.savefig(out / "optimizers.png", dpi=110)
    save(out, "optimizers", figures)


main()
