"""The fit of one layer of a Poisson model: learned programs, or their posterior (pmf)."""

from __future__ import annotations

import logging

import numpy as np
import torch
from torch import Tensor

from neuralNMF.cells.counts import Counts
from neuralNMF.cells.stream import counts_sample, dataset_counts
from neuralNMF.errors import InputError
from neuralNMF.io.dataset import Dataset
from neuralNMF.options import LayerOptions
from neuralNMF.poisson.guide import Guide
from neuralNMF.poisson.labels import UNLABELLED, Labels, encode_labels
from neuralNMF.poisson.network import LearnedPoisson, PmfPoisson, PoissonNetwork
from neuralNMF.poisson.one_factor import programs_given, usage_given
from neuralNMF.poisson.optimize import Multiplicative
from neuralNMF.poisson.posterior import GammaPrior
from neuralNMF.poisson.starts import Start, first_start, later_start, random_start
from neuralNMF.training.context import FitContext
from neuralNMF.training.fitted import Fitted
from neuralNMF.training.projected import Projected

_log = logging.getLogger(__name__)
_PROGRAM_PASSES, _PREDICTION_PASSES = 20, 60


def fit_poisson(
    context: FitContext,
) -> Fitted:
    """Starts the new layer from what ``previous`` left and trains, by the deviance of the counts.

    Raises InputError where the labels are missing.
    """
    dataset, previous, options = context.dataset, context.previous, context.options
    generator, progress = context.generator, context.progress
    labels = dataset_labels(dataset, options)
    counts = dataset_counts(dataset, context.place, options.data_mem_size)
    if previous is None and options.init == "random":
        start = random_start(counts, options.rank, generator)
    elif previous is None:
        sample = counts_sample(dataset, counts, generator, context.place)
        start = first_start(
            counts, sample, options.rank, generator, labels=labels, progress=progress
        )
        del sample
    else:
        leads = labels if options.guide_layer > len(previous.thetas) else None
        start = later_start(
            counts, previous, options.rank, generator, init=options.init, labels=leads
        )
    network = _network(start, options, labels)
    if not options.joint:
        for theta in network.thetas[:-1]:
            theta.requires_grad_(False)
    if options.optimizer == "auto":
        optimizer = Multiplicative(network, counts)
    else:
        optimizer = Projected(network, counts, kind=options.optimizer, lr=options.lr)
    trained = context.train(network, optimizer)
    network.finish()
    with torch.no_grad():
        programs_t = [program_t.detach() for program_t in network.programs(counts)]
    thetas = [theta.detach() for theta in network.thetas]
    if options.beta == "learned":
        programs_t = _own_programs(counts, thetas, programs_t)
    predicted = {}
    if network.guide is not None:
        # From the counts alone, for labelled cells too: training moves their usage by the label.
        usage = usage_given(counts, programs_t[0], passes=_PREDICTION_PASSES)
        for theta in thetas[1 : options.guide_layer]:
            usage = usage @ theta.to(usage)
        label, probability = network.guide.predict(usage)
        predicted = {"predicted_label": label, "predicted_probability": probability}
    return Fitted(
        thetas,
        programs_t,
        start.record,
        trained,
        1.0 / np.where(counts.scale > 0, counts.scale, 1.0),
        np.ones(counts.shape[1]),
        deviations=network.deviations(),
        cells=predicted,
        figures={"deviance": _deviance(counts, network, programs_t[-1])},
    )


def dataset_labels(dataset: Dataset, options: LayerOptions) -> Labels | None:
    """The classes of the cells for a guided fit, None for any other."""
    if options.guide == 0:
        return None
    if options.labels not in dataset.obs.columns:
        raise InputError(
            f"There is no column {options.labels!r} in obs of {dataset.path.name}; it has "
            f"{', '.join(map(str, dataset.obs.columns))}."
        )
    labels = encode_labels(dataset.obs[options.labels].tolist())
    known = int((labels.codes != UNLABELLED).sum())
    _log.info(
        "guided by %d labelled cells of %d, %d classes",
        known,
        dataset.shape[0],
        len(labels.classes),
    )
    return labels


def _network(start: Start, options: LayerOptions, labels: Labels | None) -> PoissonNetwork:
    guide = None
    if labels is not None and options.guide_layer <= len(start.thetas):
        guide = Guide(labels, options.guide_layer, options.guide)
    if options.beta == "learned":
        return LearnedPoisson(start.thetas, start.programs_t[-1], guide)
    # The prior is in counts a gene: with a cell's usage at one on average, so are the programs.
    size = float(start.thetas[0].sum(1, dtype=torch.float64).mean())
    thetas = [start.thetas[0] / size, *start.thetas[1:]]
    known = [program_t * size for program_t in start.programs_t]
    return PmfPoisson(thetas, GammaPrior(options.prior_shape, options.prior_rate), known, guide)


def _own_programs(counts: Counts, thetas: list[Tensor], programs_t: list[Tensor]) -> list[Tensor]:
    """The programs (M, k_l) that explain the counts best by each earlier layer's own usage.

    Those of the product, Theta_{l+1} ... beta_L, have the rank of the last layer and cannot tell
    the programs of a coarse one apart, as their usage can. Columns stay at sum one.
    """
    found, usage = [], thetas[0]
    for number, program_t in enumerate(programs_t[:-1]):
        if number > 0:
            usage = usage @ thetas[number].to(usage)
        own = programs_given(counts, usage, program_t, passes=_PROGRAM_PASSES)
        sums = own.sum(0)
        found.append(torch.where(sums > 0, own / sums.clamp(min=1e-30), 0.0) * program_t.sum(0))
    return [*found, programs_t[-1]]


def _deviance(counts: Counts, network: PoissonNetwork, last: Tensor) -> float:
    with torch.no_grad():
        whole = network.through(last)[0]
    theta = network.thetas[0].detach()
    log_sum = counts.rates(theta, whole).log_sum
    return counts.deviance(log_sum, counts.rate_total(theta, whole))
