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

from neuralNMF.cells.counts import Counts, dense_counts
from neuralNMF.cells.stream import CountsSample
from neuralNMF.io.model import Model
from neuralNMF.poisson.em import (
    KlResult,
    KlStatus,
    check_rank,
    gene_totals,
    kl_nmf,
    random_starts,
)
from neuralNMF.poisson.guided_start import class_totals, guided_start
from neuralNMF.poisson.labels import UNLABELLED, Labels
from neuralNMF.poisson.merging import merged_start
from neuralNMF.poisson.one_factor import usage_given
from neuralNMF.poisson.singular_starts import singular_starts
from neuralNMF.training.loop import Status, Training

_TINY = 1e-30
_OF_EACH_KIND, _TRIAL_PASSES = 3, 20
_PASSES, _USAGE_PASSES, _LATER_PASSES = 500, 10, 5


@dataclass
class Start:
    """Theta_1 ... Theta_L; programs_t: beta_1 ... beta_L transposed, columns sum to one; record."""

    thetas: list[Tensor]
    programs_t: list[Tensor]
    record: Training | None = None


def random_start(counts: Counts, rank: int, generator: torch.Generator) -> Start:
    """The first layer's, of noise: Theta_1 (N, k_1) on the device of the counts."""
    theta = torch.rand((counts.shape[0], rank), generator=generator, dtype=torch.float64)
    theta *= (counts.totals / counts.scale.clamp(min=_TINY) / theta.sum(1))[:, None]
    programs_t = _random_programs_t(gene_totals(counts), rank, generator)
    return Start([theta.to(counts.dtype).to(counts.device)], [programs_t])


def first_start(
    counts: Counts,
    sample: CountsSample,
    rank: int,
    generator: torch.Generator,
    *,
    labels: Labels | None,
    progress: bool,
) -> Start:
    """The first layer's, from singular vectors or noise; Theta_1 on the device of the counts.

    All starts are tried, and the best brought to its end, on the sample; what is left for all cells
    is their usage of its programs. labels: lead the start, where there are any.
    """
    check_rank(sample.counts.shape, rank)
    if labels is not None:
        totals = class_totals(counts, labels.codes)
        codes = labels.codes[sample.cells.numpy()]
        starts = [guided_start(sample, totals, codes, rank, generator)]
    else:
        starts = [
            *singular_starts(sample.counts, sample.products, rank, generator, _OF_EACH_KIND),
            *random_starts(sample.counts, rank, generator, _OF_EACH_KIND),
        ]
    with tqdm(desc="layer 1 start", unit="pass", disable=not progress, mininterval=1.0) as bar:

        def report(_: int, deviance: float) -> None:
            bar.update()
            bar.set_postfix_str(f"deviance {deviance:.6g}", refresh=False)

        found = kl_nmf(
            sample.counts,
            rank,
            generator=generator,
            passes=_PASSES,
            starts=starts,
            trial=_TRIAL_PASSES,
            report=report,
        )
        del starts
        theta = found.theta
        if sample.counts is not counts:
            theta = usage_given(counts, found.programs_t, passes=_USAGE_PASSES, report=report)
    return Start([theta], [found.programs_t], _record(found, sample.counts))


def later_start(
    counts: Counts,
    previous: Model,
    rank: int,
    generator: torch.Generator,
    *,
    init: str,
    labels: Labels | None,
) -> Start:
    """The next layer's, after the layers of ``previous``.

    labels: programs of the same classes are merged, if this layer or a later one is to be guided.
    """
    thetas = [
        torch.as_tensor(previous.thetas[0]).to(device=counts.device, dtype=counts.dtype),
        *(torch.as_tensor(theta, dtype=torch.float64) for theta in previous.thetas[1:]),
    ]
    programs_t = [torch.as_tensor(beta.T, dtype=torch.float64) for beta in previous.betas]
    mass = counts.weights(thetas[0])
    for theta in thetas[1:]:
        mass = mass @ theta
    expected = (programs_t[-1] * mass).T  # (k_{L-1}, M)
    if init == "random":
        theta = torch.rand((mass.numel(), rank), generator=generator, dtype=torch.float64)
        theta /= theta.sum(1, keepdim=True)
        theta *= (mass > 0)[:, None]
        last = _random_programs_t(expected.sum(0), rank, generator)
    else:
        check_rank(tuple(expected.shape), rank)
        beside = None if labels is None else _class_masses(counts, thetas, labels) * mass[:, None]
        merged = merged_start(expected, rank, generator, beside)
        found = kl_nmf(
            dense_counts(expected),
            rank,
            generator=generator,
            starts=[merged],
            passes=_LATER_PASSES,
        )
        theta, last = found.theta / mass.clamp(min=_TINY)[:, None], found.programs_t
    return Start([*thetas, theta], [*programs_t, last])


def _random_programs_t(genes: Tensor, rank: int, generator: torch.Generator) -> Tensor:
    """Uniform noise around the genes' totals (M,), columns at sum one: (M, k)."""
    draw = torch.rand((genes.numel(), rank), generator=generator, dtype=torch.float64)
    draw *= genes[:, None]
    return draw / draw.sum(0).clamp(min=_TINY)


def _class_masses(counts: Counts, thetas: list[Tensor], labels: Labels) -> Tensor:
    """Of what labelled cells use of a program, the share of each class: (k_{L-1}, classes)."""
    codes = torch.from_numpy(labels.codes)
    cells = (codes != UNLABELLED).nonzero()[:, 0]
    usage = thetas[0][cells.to(counts.device)].cpu().double() * counts.scale[cells, None]
    for theta in thetas[1:]:
        usage = usage @ theta
    member = torch.nn.functional.one_hot(codes[cells], len(labels.classes)).double()
    masses = usage.T @ member
    return masses / masses.sum(1, keepdim=True).clamp(min=_TINY)


def _record(found: KlResult, counts: Counts) -> Training:
    """The best so far: a pass that was taken back is no worse a model than the one before it."""
    entries = float(counts.shape[0]) * counts.shape[1]
    loss = np.minimum.accumulate([*found.history, found.deviance]) / entries
    status = Status.CONVERGED if found.status is KlStatus.CONVERGED else Status.LIMIT
    return Training(status, loss.tolist(), [float("nan")] * loss.size)
