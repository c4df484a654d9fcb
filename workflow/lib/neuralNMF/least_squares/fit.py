"""The fit of one layer by least squares, with programs that are solved exactly or learned."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from neuralNMF.cells.products import Products
from neuralNMF.cells.scaling import Scaling, fit_scaling
from neuralNMF.cells.stream import (
    SAMPLE_CELLS,
    dataset_products,
    draw_rows,
    draw_sample,
    sample_products,
)
from neuralNMF.least_squares.later_starts import best_nested, merged, of_programs
from neuralNMF.least_squares.learned import LearnedNMF
from neuralNMF.least_squares.network import NeuralNMF, Pass, usage_sums
from neuralNMF.least_squares.optimize import make_optimizer
from neuralNMF.least_squares.starts import (
    first_programs,
    pretrain_first,
    random_theta,
    unit_usages,
    usage_of,
)
from neuralNMF.options import LayerOptions
from neuralNMF.solvers.gram import gram, times_small
from neuralNMF.solvers.nnls import DEPENDENT, nnls
from neuralNMF.training.context import FitContext
from neuralNMF.training.fitted import Fitted
from neuralNMF.training.gradients import hold_earlier
from neuralNMF.training.loop import without_rounding
from neuralNMF.training.stage import Start
from neuralNMF.training.supported import Round, train_supported


def fit_least_squares(context: FitContext) -> Fitted:
    """Fit one more layer by squared error: find a start for it, then train.

    Parameters
    ----------
    context : FitContext

    Returns
    -------
    Fitted
        The factors of all layers.
    """
    options = context.options
    precision = np.float32 if context.place.dtype == torch.float32 else np.float64
    normalization = options.normalize, options.transform, options.gene_power
    scaling = fit_scaling(context.dataset, *normalization, precision, context.batches)
    products = dataset_products(context.dataset, scaling, context.place, options.data_mem_size)

    def run(
        thetas: list[Tensor], _: list[Tensor], joint: bool, epochs: int, lost: bool
    ) -> Round[Pass]:
        if lost and epochs == 0:
            # Nothing more is trained: what the lost programs explained goes to the others.
            with torch.no_grad():
                solved = _network(options, products, thetas, joint=joint)(products)
                usage = usage_of(solved.programs_t[0].detach(), products)
            thetas = [usage, *thetas[1:]]
        network = _network(options, products, thetas, joint=joint)
        optimizer = make_optimizer(options.optimizer, network, products, lr=options.lr)
        record = context.train(network, optimizer, epochs)
        with torch.no_grad():
            solved = network(products)
        programs_t = [program_t.detach() for program_t in solved.programs_t]
        thetas = [theta.detach() for theta in network.thetas]
        if options.beta == "learned" and options.loss == "reconstruction":
            programs_t = _programs_of_usage(products, thetas, programs_t[-1])
        return Round(solved, thetas, programs_t, record, products.team)

    trained, started, record, joint = train_supported(
        run, lambda: _start(context, scaling, products), context
    )
    error = without_rounding(trained.result.error.item())
    return Fitted(
        trained.thetas,
        trained.programs_t,
        started,
        record,
        joint,
        scaling.cells,
        scaling.genes,
        figures={
            "mse": error / products.entries,
            "target_total": scaling.target_total,
        },
    )


def _start(context: FitContext, scaling: Scaling, products: Products) -> Start:
    options, previous, generator = context.options, context.previous, context.generator
    if previous is None:
        if options.init == "random" and context.programs is None:
            theta = draw_rows(context.dataset, context.rank, generator, products.dtype)
            return Start([theta.to(products.device)], [])
        programs_t = _flat_programs(context, scaling, products)
        theta, started = pretrain_first(
            programs_t,
            products,
            tol=options.tol,
            patience=options.patience,
        )
        return Start([theta], [], started)
    thetas = unit_usages(
        [
            torch.as_tensor(previous.thetas[0]).to(device=products.device, dtype=products.dtype),
            *(torch.as_tensor(theta, dtype=torch.float64) for theta in previous.thetas[1:]),
        ],
        products.team,
    )
    if context.programs is not None:
        given = _flat_programs(context, scaling, products)
        theta = of_programs(given, products.sums(_last_usage(thetas, products)))
        return Start([*thetas, theta], [])
    if options.init == "random":
        shape = (thetas[-1].shape[1], context.rank)
        theta = random_theta(*shape, generator, dtype=torch.float64)
        return Start([*thetas, theta], [])
    squares = gram(torch.as_tensor(previous.usages[-1]), products.threads).diagonal().contiguous()
    products.team.add(squares.numpy())
    programs = torch.as_tensor(previous.betas[-1], dtype=torch.float64) * squares.sqrt()[:, None]
    candidates = merged(programs, context.rank, generator)
    if options.loss != "nested":
        return Start([*thetas, candidates[0]], [])
    usage = _last_usage(thetas, products)
    sums = products.sums(usage)
    candidates.append(of_programs(_flat_programs(context, scaling, products), sums))
    return Start([*thetas, best_nested(candidates, usage, sums, products)], [])


def _last_usage(thetas: list[Tensor], products: Products) -> Tensor:
    """U of the last layer, (N, k)."""
    usage = thetas[0]
    for theta in thetas[1:]:
        usage = times_small(usage, theta, products.threads)
    return usage


def _flat_programs(context: FitContext, scaling: Scaling, products: Products) -> Tensor:
    """Programs of an NMF of X' by the new layer's rank, whatever the layers before it.

    Those that the fit is to start from, where there are any.
    """
    if context.programs is not None:
        return torch.from_numpy(np.ascontiguousarray((context.programs * scaling.genes).T))
    sample = _sample(context, scaling, products)
    return first_programs(sample, context.rank, context.generator)


def _sample(context: FitContext, scaling: Scaling, products: Products) -> Products:
    """All cells where they are few, else a random sample of them on the host.

    Of several processes each has the whole sample, and so the same start.
    """
    cells = context.dataset.all_cells
    if cells <= SAMPLE_CELLS and products.team.size == 1:
        return products
    chosen = draw_sample(cells, context.generator)
    return sample_products(context.dataset, scaling, chosen, context.place)


def _programs_of_usage(products: Products, thetas: list[Tensor], last: Tensor) -> list[Tensor]:
    """The programs (M, k_l) that explain the cells best by each layer's usage, and the last.

    Those of the product, Theta_{l+1} ... beta_L, have the rank of the last layer and cannot tell
    the programs of a coarse one apart, as their usage can.
    """
    sums = products.sums(thetas[0])
    layers = usage_sums(sums.gram, sums.cross, thetas[1:])
    dependent = DEPENDENT[products.dtype]
    earlier = [
        nnls(gram, cross, dependent=dependent, threads=products.threads)
        for layer, gram, cross in layers
        if layer < len(thetas) - 1
    ]
    return [*earlier, last]


def _network(
    options: LayerOptions, products: Products, thetas: list[Tensor], *, joint: bool
) -> NeuralNMF | LearnedNMF:
    network: NeuralNMF | LearnedNMF
    network = NeuralNMF(thetas, loss=options.loss, threads=products.threads, team=products.team)
    if options.beta == "learned":
        # Learned programs start where solved ones would lie.
        with torch.no_grad():
            solved = network(products).programs_t
        network = LearnedNMF(thetas, solved if options.loss == "nested" else solved[-1:])
    if not joint:
        hold_earlier(list(network.thetas))
        if isinstance(network, LearnedNMF):
            hold_earlier(list(network.programs_t))
    network.settle()
    return network
