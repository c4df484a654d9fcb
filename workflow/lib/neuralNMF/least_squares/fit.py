"""The fit of one layer by least squares: exact programs (lsq) or learned ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from neuralNMF.cells.products import Products
from neuralNMF.cells.scaling import Scaling, fit_scaling
from neuralNMF.cells.stream import dataset_products, sample_products
from neuralNMF.io.dataset import Dataset
from neuralNMF.io.model import Model
from neuralNMF.least_squares.learned import LearnedNMF
from neuralNMF.least_squares.network import NeuralNMF
from neuralNMF.least_squares.optimize import make_optimizer
from neuralNMF.least_squares.starts import (
    SAMPLE_CELLS,
    first_programs,
    pretrain_first,
    pretrain_later,
    random_theta,
    unit_usages,
)
from neuralNMF.options import LayerOptions
from neuralNMF.training.fitted import Fitted
from neuralNMF.training.loop import Training, train


@dataclass
class _Run:
    """What the steps of one layer's fit share."""

    dataset: Dataset
    scaling: Scaling
    products: Products
    options: LayerOptions
    generator: torch.Generator
    threads: int
    progress: bool


def fit_least_squares(
    dataset: Dataset,
    previous: Model | None,
    options: LayerOptions,
    *,
    device: torch.device,
    dtype: torch.dtype,
    generator: torch.Generator,
    threads: int,
    progress: bool,
) -> Fitted:
    """Starts the new layer from what ``previous`` left and trains, by squared error."""
    scaling = fit_scaling(dataset, options.normalize, options.transform)
    products = dataset_products(
        dataset,
        scaling,
        device=device,
        dtype=dtype,
        data_mem_size=options.data_mem_size,
        threads=threads,
    )
    run = _Run(dataset, scaling, products, options, generator, threads, progress)
    thetas, started = _start(run, previous)
    network, trained = _train(run, thetas)
    with torch.no_grad():
        found = network(products)
    return Fitted(
        [theta.detach() for theta in network.thetas],
        [program_t.detach() for program_t in found.programs_t],
        started,
        trained,
        scaling.cells,
        scaling.genes,
        figures={"mse": trained.mse[int(np.argmin(trained.loss))]},
    )


def _start(run: _Run, previous: Model | None) -> tuple[list[Tensor], Training | None]:
    """The parameters that training starts from, and the record of the first layer's start."""
    options, products = run.options, run.products
    if previous is None:
        if options.init == "random":
            shape = (products.shape[0], options.rank)
            place = {"device": products.device, "dtype": products.dtype}
            return [random_theta(*shape, run.generator, **place)], None
        programs_t = first_programs(_sample(run), options.rank, run.generator, threads=run.threads)
        theta, started = pretrain_first(
            programs_t,
            products,
            tol=options.tol,
            patience=options.patience,
            threads=run.threads,
            progress=run.progress,
        )
        return [theta], started
    thetas = unit_usages(
        [
            torch.as_tensor(previous.thetas[0]).to(device=products.device, dtype=products.dtype),
            *(torch.as_tensor(theta, dtype=torch.float64) for theta in previous.thetas[1:]),
        ]
    )
    lengths = np.linalg.norm(previous.usages[-1], axis=0)
    programs = torch.as_tensor(previous.betas[-1] * lengths[:, None], dtype=torch.float64)
    if options.init == "random":
        later = random_theta(programs.shape[0], options.rank, run.generator, dtype=torch.float64)
    else:
        later = pretrain_later(programs, options.rank, run.generator, threads=run.threads)
    return [*thetas, later], None


def _sample(run: _Run) -> Products:
    """All cells where they are few, else a random sample of them on the host."""
    cells = run.dataset.shape[0]
    if cells <= SAMPLE_CELLS:
        return run.products
    chosen = torch.randperm(cells, generator=run.generator)[:SAMPLE_CELLS].sort().values.numpy()
    return sample_products(
        run.dataset, run.scaling, chosen, dtype=run.products.dtype, threads=run.threads
    )


def _train(run: _Run, thetas: list[Tensor]) -> tuple[NeuralNMF | LearnedNMF, Training]:
    options = run.options
    network = NeuralNMF(thetas, energy=options.loss == "energy", threads=run.threads)
    if options.beta == "learned":
        # Learned programs start where solved ones would lie.
        with torch.no_grad():
            solved = network(run.products).programs_t[-1]
        network = LearnedNMF(thetas, solved)
    if not options.joint:
        for theta in network.thetas[:-1]:
            theta.requires_grad_(False)
    network.settle()
    optimizer = make_optimizer(
        options.optimizer, network, run.products, lr=options.lr, threads=run.threads
    )
    trained = train(
        network,
        optimizer,
        float(run.products.shape[0]) * run.products.shape[1],
        epochs=options.epochs,
        tol=options.tol,
        patience=options.patience,
        keep_best=options.optimizer != "auto",
        name=f"layer {len(thetas)}",
        progress=run.progress,
    )
    return network, trained
