"""Where a layer starts from (architecture.md, `pretrain`).

Layer 1 starts from the singular vectors of X' and is brought to an NMF by the ``auto`` optimiser, whose steps are then
those of HALS. A later layer starts from an NMF of the programs before it, a small problem, so that several starts are affordable.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from neuralNMF.network import NeuralNMF
from neuralNMF.optimize import Auto
from neuralNMF.products import Products, gram, tensor_products
from neuralNMF.train import Training, train

_FIRST_EPOCHS = 60
_STARTS = 10
_TRIAL_EPOCHS = 10
_KEPT = 3
_LATER_EPOCHS = 100


def random_theta(
    rows: int,
    rank: int,
    generator: torch.Generator,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Uniform in (0, 1), drawn on the host so that every device starts alike. Shape: (rows, rank)."""
    return torch.rand((rows, rank), generator=generator, dtype=dtype).to(device)


def pretrain_first(
    theta: Tensor, products: Products, *, tol: float, patience: int, threads: int, progress: bool
) -> tuple[Tensor, Training]:
    """Theta_1 (N, k_1) of an NMF of X', from the given start; columns of unit length."""
    network = NeuralNMF([theta], threads=threads)
    optimizer = Auto(network, products, threads=threads)
    entries = float(products.shape[0]) * products.shape[1]
    run = train(
        network,
        optimizer,
        entries,
        epochs=_FIRST_EPOCHS,
        tol=tol,
        patience=patience,
        keep_best=False,
        name="layer 1 start",
        progress=progress,
    )
    return unit_usages([network.thetas[0].detach()])[0], run


def unit_usages(thetas: Sequence[Tensor]) -> list[Tensor]:
    """The same model with the columns of every usage U_l = Theta_1 ... Theta_l at unit length.

    Then a program of beta_l counts, in the solve of the next layer, by the length of what it contributes. A column of
    zeros stays. Shape: as `NeuralNMF`.
    """
    result = []
    before = torch.ones(1, dtype=torch.float64)
    total = torch.zeros(0)
    for layer, theta in enumerate(thetas):
        if layer == 0:
            total = gram(theta)
        else:
            total = theta.T @ total @ theta
            theta = theta * before[:, None]
        lengths = total.diagonal().sqrt()
        lengths = torch.where(lengths > 0, lengths, 1.0)
        result.append(theta / lengths.to(device=theta.device, dtype=theta.dtype))
        before = lengths
    return result


def pretrain_later(
    programs: Tensor, rank: int, generator: torch.Generator, *, threads: int
) -> Tensor:
    """Theta_l (k_{l-1}, k_l) of an NMF of the programs before it, the best of several random starts.

    Shape: programs beta_{l-1} (k_{l-1}, M) float64, scaled as `unit_usages` says. All starts are tried for some epochs, and the most promising ones brought to the end.
    """
    products = tensor_products(programs)
    trials = []
    for _ in range(_STARTS):
        theta = random_theta(programs.shape[0], rank, generator, dtype=torch.float64)
        trials.append(_factorize(theta, products, _TRIAL_EPOCHS, threads))
    trials.sort(key=lambda trial: trial[0])
    finished = [_factorize(theta, products, _LATER_EPOCHS, threads) for _, theta in trials[:_KEPT]]
    return min(finished, key=lambda trial: trial[0])[1]


def _factorize(
    theta: Tensor, products: Products, epochs: int, threads: int
) -> tuple[float, Tensor]:
    network = NeuralNMF([theta], threads=threads)
    optimizer = Auto(network, products, threads=threads)
    run = train(network, optimizer, 1.0, epochs=epochs, tol=1e-5, patience=10, keep_best=False)
    return run.loss[-1], network.thetas[0].detach()
