"""The fit of one layer of a Poisson model: learned programs, or their posterior (pmf)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from neuralNMF.cells.counts import Counts, median_total
from neuralNMF.cells.exact import usage_sums
from neuralNMF.cells.scaling import Scaling
from neuralNMF.cells.stream import count_scaling, counts_sample, dataset_counts, draw_rows
from neuralNMF.options import LayerOptions
from neuralNMF.poisson.deviance import deviance_of
from neuralNMF.poisson.em import TINY, programs_given, usage_given
from neuralNMF.poisson.guide import Guide
from neuralNMF.poisson.labels import Labels, dataset_labels
from neuralNMF.poisson.network import LearnedPoisson, PoissonNetwork
from neuralNMF.poisson.optimize import Multiplicative
from neuralNMF.poisson.pmf import PmfPoisson
from neuralNMF.poisson.posterior import GammaPrior
from neuralNMF.poisson.starts import (
    first_start,
    later_start,
    lifted,
    random_start,
    start_from_programs,
)
from neuralNMF.training.context import FitContext
from neuralNMF.training.fitted import Fitted
from neuralNMF.training.gradients import hold_earlier
from neuralNMF.training.loop import Optimizer, without_rounding
from neuralNMF.training.projected import Projected
from neuralNMF.training.stage import Start
from neuralNMF.training.supported import Round, train_supported

_PROGRAM_PASSES, _USAGE_PASSES = 20, 60
# Even parts that are mixed into the factors after programs have been given up: for training to go
# on from, and where it does not.
_EVEN, _TRACE = 0.1, 0.01


def fit_poisson(context: FitContext) -> Fitted:
    """Start the new layer from what the previous model left and train, by the deviance of X.

    Raises
    ------
    InputError
        Where the fit is to be guided and the labels are missing.
    """
    dataset, options = context.dataset, context.options
    labels = None if options.guide == 0 else dataset_labels(dataset, options.labels)
    scaling = count_scaling(dataset, context.batches)
    counts = dataset_counts(dataset, scaling, context.place, options.data_mem_size)

    def run(
        thetas: list[Tensor], programs_t: list[Tensor], joint: bool, epochs: int, lost: bool
    ) -> Round[PoissonNetwork]:
        if lost and epochs > 0:
            thetas, programs_t = lifted(counts, thetas, programs_t, _EVEN)
        elif lost:
            # Nothing more is trained: what the lost programs explained goes to the others.
            thetas, programs_t = lifted(counts, thetas, programs_t, _TRACE)
            thetas[0] = usage_given(counts, programs_t[0], passes=_USAGE_PASSES)
        network = _network(counts, thetas, programs_t, options, labels, joint=joint)
        record = context.train(network, _optimizer(network, counts, options), epochs)
        network.finish()
        thetas = [theta.detach() for theta in network.thetas]
        return Round(network, thetas, _programs(network, counts), record, counts.team)

    trained, started, record, joint = train_supported(
        run, lambda: _start(context, scaling, counts, labels), context
    )
    network, thetas, programs_t = trained.result, trained.thetas, trained.programs_t
    of_layer_1 = network.behind(programs_t[-1])[0].detach()
    if options.beta == "learned" and not network.nested:
        programs_t = _programs_of_usage(counts, thetas, programs_t)
    rate_pass = counts.rates(thetas[0], of_layer_1)
    return Fitted(
        thetas,
        programs_t,
        started,
        record,
        joint,
        1.0 / np.where(counts.scale > 0, counts.scale, 1.0),
        np.ones(counts.shape[1]),
        deviations=network.deviations(),
        guide=network.guide,
        figures={
            "deviance": without_rounding(deviance_of(rate_pass, thetas[0], of_layer_1, counts)),
            "target_total": median_total(dataset.obs["selected_counts"].to_numpy(), dataset.team),
        },
    )


def _start(context: FitContext, scaling: Scaling, counts: Counts, labels: Labels | None) -> Start:
    options, previous, generator = context.options, context.previous, context.generator
    if context.programs is not None:
        return start_from_programs(counts, previous, context.programs)
    if previous is not None:
        leads = labels if options.guide_layer > len(previous.thetas) else None
        return later_start(
            counts, previous, context.rank, generator, init=options.init, labels=leads
        )
    if options.init == "random":
        drawn = draw_rows(context.dataset, context.rank, generator, torch.float64)
        return random_start(counts, drawn, generator)
    sample = counts_sample(context.dataset, scaling, counts, generator, context.place)
    return first_start(
        counts, sample, context.rank, generator, labels=labels, progress=context.progress
    )


def _programs(network: PoissonNetwork, counts: Counts) -> list[Tensor]:
    """beta_l transposed (M, k_l) at the parameters, l = 1 ... L."""
    with torch.no_grad():
        usages = network.usages(counts)
        return [program_t.detach() for program_t in network.programs(counts, usages)]


def _optimizer(network: PoissonNetwork, counts: Counts, options: LayerOptions) -> Optimizer:
    if options.optimizer == "auto":
        return Multiplicative(network, counts)
    return Projected(network, counts, kind=options.optimizer, lr=options.lr)


def _network(
    counts: Counts,
    thetas: Sequence[Tensor],
    programs_t: Sequence[Tensor],
    options: LayerOptions,
    labels: Labels | None,
    *,
    joint: bool,
) -> PoissonNetwork:
    """The network at some factors, with the layers held that are not to be trained."""
    guide = None
    if labels is not None and options.guide_layer <= len(thetas):
        guide = Guide(labels, options.guide_layer, options.guide)
    nested = options.loss == "nested_poisson"
    if options.beta == "learned":
        learned = programs_t if nested else programs_t[-1:]
        network: PoissonNetwork = LearnedPoisson(thetas, learned, guide, nested=nested)
    else:
        # The prior is in counts a gene: with a cell's usage at one on average, so are the programs.
        usage = usage_sums(thetas[0], threads=counts.threads, team=counts.team)
        size = float(usage.sum()) / counts.all_cells
        thetas = [thetas[0] / size, *thetas[1:]]
        programs_t = [program_t * size for program_t in programs_t]
        prior = GammaPrior(options.prior_shape, options.prior_rate)
        network = PmfPoisson(thetas, prior, programs_t, guide, nested=nested)
    if not joint:
        hold_earlier(list(network.thetas))
        if isinstance(network, LearnedPoisson):
            hold_earlier(list(network.programs_t))
    return network


def _programs_of_usage(
    counts: Counts, thetas: Sequence[Tensor], programs_t: Sequence[Tensor]
) -> list[Tensor]:
    """The programs (M, k_l) that explain the counts best by the usage of each earlier layer.

    Those of the product, Theta_{l+1} ... beta_L, have the rank of the last layer and cannot tell
    the programs of a coarse one apart, as their usage can. Columns keep their sums.
    """
    refined, usage = [], thetas[0]
    for number, program_t in enumerate(programs_t[:-1]):
        if number > 0:
            usage = usage @ thetas[number].to(usage)
        best = programs_given(counts, usage, program_t, passes=_PROGRAM_PASSES)
        sums = best.sum(0)
        refined.append(torch.where(sums > 0, best / sums.clamp(min=TINY), 0.0) * program_t.sum(0))
    return [*refined, programs_t[-1]]
