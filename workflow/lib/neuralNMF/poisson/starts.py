"""Where the layers of a Poisson model start from, before all are trained together: KL-NMF.

For the first layer of the counts, for a later one of the expected counts of the programs before it
(docs/poisson.md).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from neuralNMF.cells.counts import Counts, dense_counts
from neuralNMF.cells.stream import CountsSample
from neuralNMF.io.model import Model
from neuralNMF.poisson.candidates import gene_totals, merged_start, random_starts, singular_starts
from neuralNMF.poisson.em import TINY, KlResult, kl_nmf, unit_columns, usage_given, usage_totals
from neuralNMF.poisson.labels import Labels, class_shares, start_from_labels
from neuralNMF.progress import bar
from neuralNMF.training.loop import Status, Training, without_rounding
from neuralNMF.training.stage import Start

# Starts of the first layer from singular vectors, and as many random ones.
_OF_EACH_KIND = 3
_USAGE_PASSES, _LATER_PASSES, _GIVEN_PASSES = 10, 5, 30


def random_start(counts: Counts, drawn: Tensor, generator: torch.Generator) -> Start:
    """The first layer's start by noise around the cells' totals and the genes' totals.

    Parameters
    ----------
    counts : Counts
        X (N, M) with the library sizes.
    drawn : Tensor, shape (N, k_1)
        Uniform noise, float64 (`cells.stream.draw_rows`).
    generator : torch.Generator
    """
    theta = drawn * (usage_totals(counts) / drawn.sum(1))[:, None]
    programs_t = _random_programs_t(gene_totals(counts), drawn.shape[1], generator)
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
    """The first layer's start: the best of several, brought to its end on a sample of the cells.

    What is left for all cells is their usage of its programs.

    Parameters
    ----------
    counts : Counts
        X (N, M) with the library sizes.
    sample : CountsSample
        Some of the cells, or all.
    rank : int
        Programs k_1.
    generator : torch.Generator
    labels : Labels or None
        Lead the start, where there are any; otherwise singular vectors and noise do.
    progress : bool
        Whether a bar is shown.

    Returns
    -------
    Start
    """
    if labels is not None:
        starts = [start_from_labels(counts, sample, labels, rank, generator)]
    else:
        starts = [
            *singular_starts(sample.counts, sample.products, rank, generator, _OF_EACH_KIND),
            *random_starts(sample.counts, rank, generator, _OF_EACH_KIND),
        ]
    with bar("layer 1 start", "pass", shown=progress) as passes:

        def report(deviance: float) -> None:
            passes.update()
            passes.set_postfix_str(f"deviance {deviance:.6g}", refresh=False)

        best = kl_nmf(sample.counts, starts, report=report)
        del starts
        if sample.own is not None:
            theta = best.theta[sample.own]
        else:
            theta = usage_given(counts, best.programs_t, passes=_USAGE_PASSES, report=report)
    return Start([theta], [best.programs_t], _record(best, sample.counts))


def later_start(
    counts: Counts,
    previous: Model,
    rank: int,
    generator: torch.Generator,
    *,
    init: str,
    labels: Labels | None,
) -> Start:
    """The next layer's start: KL-NMF of the expected counts of the last layer's programs.

    Parameters
    ----------
    counts : Counts
        X (N, M) with the library sizes.
    previous : Model
        The layers so far, L - 1 of them.
    rank : int
        Programs k_L of the next one.
    generator : torch.Generator
    init : {"nmf", "random"}
        From merged programs, or from noise.
    labels : Labels or None
        Programs of the same classes are merged, if this layer or a later one is to be guided.

    Returns
    -------
    Start
    """
    thetas, programs_t, mass = _factors(counts, previous)
    expected = (programs_t[-1] * mass).T  # (k_{L-1}, M)
    if init == "random":
        theta = torch.rand((mass.numel(), rank), generator=generator, dtype=torch.float64)
        theta /= theta.sum(1, keepdim=True)
        theta *= (mass > 0)[:, None]
        last = _random_programs_t(expected.sum(0), rank, generator)
    else:
        class_counts = None
        if labels is not None:
            class_counts = class_shares(counts, labels, thetas) * mass[:, None]
        merged = merged_start(expected, rank, generator, class_counts)
        # Not to convergence, which is worse once all layers are trained.
        refined = kl_nmf(dense_counts(expected), [merged], passes=_LATER_PASSES)
        theta, last = refined.theta / mass.clamp(min=TINY)[:, None], refined.programs_t
    return Start([*thetas, theta], [*programs_t, last])


def start_from_programs(counts: Counts, previous: Model | None, programs: np.ndarray) -> Start:
    """The next layer's start at given programs.

    Parameters
    ----------
    counts : Counts
        X (N, M) with the library sizes.
    previous : Model or None
        The layers so far, where there are any.
    programs : ndarray, shape (k_L, M)
        Of the next one.
    """
    given = unit_columns(torch.from_numpy(np.ascontiguousarray(programs.T, dtype=np.float64)))
    if previous is None:
        return Start([usage_given(counts, given, passes=_GIVEN_PASSES)], [given])
    thetas, programs_t, mass = _factors(counts, previous)
    expected = dense_counts((programs_t[-1] * mass).T)
    theta = usage_given(expected, given, passes=_GIVEN_PASSES) / mass.clamp(min=TINY)[:, None]
    return Start([*thetas, theta], [*programs_t, given])


def _factors(counts: Counts, previous: Model) -> tuple[list[Tensor], list[Tensor], Tensor]:
    """Thetas and programs of a model, and what each program of its last layer makes, (k,)."""
    thetas = [
        torch.as_tensor(previous.thetas[0]).to(device=counts.device, dtype=counts.dtype),
        *(torch.as_tensor(theta, dtype=torch.float64) for theta in previous.thetas[1:]),
    ]
    programs_t = [torch.as_tensor(beta.T, dtype=torch.float64) for beta in previous.betas]
    mass = counts.weights(thetas[0])
    for theta in thetas[1:]:
        mass = mass @ theta
    return thetas, programs_t, mass


def lifted(
    counts: Counts, thetas: list[Tensor], programs_t: list[Tensor], share: float
) -> tuple[list[Tensor], list[Tensor]]:
    """These factors, mixed with a share of even ones, for multiplicative steps to go on from.

    Such steps cannot leave zero: once a program has been given up, the cells and genes that it had
    to itself would stay without any.

    Parameters
    ----------
    counts : Counts
        X (N, M) with the library sizes.
    thetas : list of Tensor
        Theta_1 (N, k_1), then Theta_l (k_{l-1}, k_l).
    programs_t : list of Tensor
        beta_l transposed (M, k_l).
    share : float
        Of the even factors, between 0 and 1.

    Returns
    -------
    thetas, programs_t : list of Tensor
        Shaped as they were, rows of Theta_2 ... Theta_L and of every beta at sum one.
    """
    genes = gene_totals(counts)
    programs = [
        unit_columns(unit_columns(part) * (1 - share) + share * (genes / genes.sum())[:, None])
        for part in programs_t
    ]
    first, *later = thetas
    even = (usage_totals(counts) / first.shape[1])[:, None].to(first)
    result = [first * (programs_t[0].sum(0) * (1 - share)).to(first) + share * even]
    for theta in later:
        rows = theta / theta.sum(1, keepdim=True).clamp(min=TINY)
        result.append(unit_columns((rows * (1 - share) + share / theta.shape[1]).T).T.contiguous())
    return result, programs


def _random_programs_t(genes: Tensor, rank: int, generator: torch.Generator) -> Tensor:
    """Uniform noise around the genes' totals (M,), columns at sum one: (M, k)."""
    draw = torch.rand((genes.numel(), rank), generator=generator, dtype=torch.float64)
    return unit_columns(draw * genes[:, None])


def _record(result: KlResult, counts: Counts) -> Training:
    """The best so far: a pass that was taken back is no worse a model than the one before it."""
    deviances = [without_rounding(value) for value in (*result.history, result.deviance)]
    loss = np.minimum.accumulate(deviances) / counts.entries
    status = Status.CONVERGED if result.converged else Status.LIMIT
    return Training(status, loss.tolist(), [float("nan")] * loss.size)
