"""Where a layer of a Poisson model starts from: KL-NMF of what it factorises.

For the first layer that is the counts, for a later one the expected counts of the programs before
it (docs/poisson.md).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from neuralNMF.io.model import Model
from neuralNMF.poisson.counts import Counts
from neuralNMF.poisson.dense import dense_counts
from neuralNMF.poisson.guided import guided_start
from neuralNMF.poisson.klnmf import KlResult, KlStatus, kl_nmf
from neuralNMF.poisson.labels import Labels
from neuralNMF.train import Status, Training

_TINY = 1e-30
_LATER_STARTS = 10
_PASSES, _GUIDED_PASSES = 500, 20


@dataclass
class Start:
    """Theta_1 ... Theta_L; loadings: beta_1 ... beta_L transposed, columns sum to one; record."""

    thetas: list[Tensor]
    loadings: list[Tensor]
    record: Training | None = None


def first_start(
    counts: Counts,
    rank: int,
    generator: torch.Generator,
    *,
    init: str,
    labels: Labels | None,
    progress: bool,
) -> Start:
    """The first layer's, Theta_1 (N, k_1) on the device of the counts.

    init: ``nmf`` or ``random``. labels: lead the start of ``nmf``, where there are any.
    """
    if init == "random":
        theta = torch.rand((counts.shape[0], rank), generator=generator, dtype=torch.float64)
        theta *= (counts.totals / counts.scale.clamp(min=_TINY) / theta.sum(1))[:, None]
        loadings = _random_loadings(_gene_totals(counts), rank, generator)
        return Start([theta.to(counts.dtype).to(counts.device)], [loadings])
    given = None
    if labels is not None:
        given = guided_start(counts, labels.codes, rank, generator=generator)
    with tqdm(desc="layer 1 start", unit="pass", disable=not progress, mininterval=1.0) as bar:

        def report(_: int, deviance: float) -> None:
            bar.update()
            bar.set_postfix_str(f"deviance {deviance:.6g}", refresh=False)

        # A guided start is handed over early: the labels hold it in joint training only.
        passes = _PASSES if given is None else _GUIDED_PASSES
        found = kl_nmf(counts, rank, generator=generator, passes=passes, start=given, report=report)
    return Start([found.theta], [found.loadings], _record(found, counts))


def later_start(
    counts: Counts, previous: Model, rank: int, generator: torch.Generator, *, init: str
) -> Start:
    """The next layer's, after the layers of ``previous``."""
    thetas = [
        torch.as_tensor(previous.thetas[0]).to(device=counts.device, dtype=counts.dtype),
        *(torch.as_tensor(theta, dtype=torch.float64) for theta in previous.thetas[1:]),
    ]
    loadings = [torch.as_tensor(beta.T, dtype=torch.float64) for beta in previous.betas]
    mass = counts.weights(thetas[0])
    for theta in thetas[1:]:
        mass = mass @ theta
    expected = (loadings[-1] * mass).T  # (k_{L-1}, M)
    if init == "random":
        theta = torch.rand((mass.numel(), rank), generator=generator, dtype=torch.float64)
        theta /= theta.sum(1, keepdim=True)
        theta *= (mass > 0)[:, None]
        last = _random_loadings(expected.sum(0), rank, generator)
    else:
        found = kl_nmf(
            dense_counts(expected), rank, generator=generator, starts=_LATER_STARTS, passes=1000
        )
        theta, last = found.theta / mass.clamp(min=_TINY)[:, None], found.loadings
    return Start([*thetas, theta], [*loadings, last])


def _random_loadings(genes: Tensor, rank: int, generator: torch.Generator) -> Tensor:
    """Uniform noise around the genes' totals (M,), columns at sum one: (M, k)."""
    draw = torch.rand((genes.numel(), rank), generator=generator, dtype=torch.float64)
    draw *= genes[:, None]
    return draw / draw.sum(0).clamp(min=_TINY)


def _gene_totals(counts: Counts) -> Tensor:
    ones = torch.ones((counts.shape[0], 1), device=counts.device, dtype=counts.dtype)
    plain = torch.ones((counts.shape[1], 1), dtype=torch.float64)
    return counts.rates(ones, plain, columns=True).columns[:, 0]


def _record(found: KlResult, counts: Counts) -> Training:
    """The best so far: a pass that was taken back is no worse a model than the one before it."""
    entries = float(counts.shape[0]) * counts.shape[1]
    loss = np.minimum.accumulate([*found.history, found.deviance]) / entries
    status = Status.CONVERGED if found.status is KlStatus.CONVERGED else Status.LIMIT
    return Training(status, loss.tolist(), [float("nan")] * loss.size)
