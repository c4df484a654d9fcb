"""One layer of the model: take what the last layer left, start the new one, train both."""

from __future__ import annotations

import logging
import platform
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from neuralNMF import __version__
from neuralNMF.canonical import canonical
from neuralNMF.device import resolve_device
from neuralNMF.errors import InputError
from neuralNMF.io.dataset import Dataset
from neuralNMF.io.model import Model
from neuralNMF.network import NeuralNMF
from neuralNMF.optimize import make_optimizer
from neuralNMF.options import LayerOptions
from neuralNMF.pretrain import (
    SAMPLE_CELLS,
    first_programs,
    pretrain_first,
    pretrain_later,
    random_theta,
    unit_usages,
)
from neuralNMF.products import Products
from neuralNMF.scaling import Scaling, fit_scaling
from neuralNMF.source import dataset_products, sample_products
from neuralNMF.train import Training, train

_log = logging.getLogger(__name__)

_DTYPES = {"float32": torch.float32, "float64": torch.float64}
# Options that one model has only one value of, whatever the layer.
_SHARED = ("normalize", "transform", "beta", "loss", "precision")


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


def fit_layer(
    dataset: Dataset, previous: Model | None, options: LayerOptions, *, progress: bool = True
) -> Model:
    """Adds a layer of ``options.rank`` programs to ``previous`` (None: the first layer) and trains.

    Returns a complete model of one more layer, in canonical form, for the cells and genes of
    ``dataset``. Raises InputError where the options do not fit the data or the previous model,
    DeviceError where the device is absent.
    """
    device = resolve_device(options.device)
    _check(dataset, previous, options)
    threads = options.threads or torch.get_num_threads()
    depth = 1 if previous is None else len(previous.thetas) + 1
    _log.info("layer %d: %d programs, on %s with %d threads", depth, options.rank, device, threads)
    scaling = fit_scaling(dataset, options.normalize, options.transform)
    products = dataset_products(
        dataset,
        scaling,
        device=device,
        dtype=_DTYPES[options.precision],
        data_mem_size=options.data_mem_size,
        threads=threads,
    )
    # One stream of random numbers for each layer: its start depends on the seed and its depth alone.
    generator = torch.Generator().manual_seed(options.seed * 1000 + depth)
    run = _Run(dataset, scaling, products, options, generator, threads, progress)
    thetas, started = _start(run, previous)
    network, trained = _train(run, thetas)
    model = _model(network, products, dataset)
    model.history = _history(previous, depth, started, trained)
    model.obs["cell_scale"] = scaling.cells
    model.var["gene_scale"] = scaling.genes
    model.info = _info(model, previous, options, trained)
    dead = int(model.dead[-1].sum())
    if dead:
        _log.warning(
            "%d of the %d programs of layer %d are dead, no cell uses them: a smaller rank would do.",
            dead,
            options.rank,
            depth,
        )
    return model


def _check(dataset: Dataset, previous: Model | None, options: LayerOptions) -> None:
    cells, genes = dataset.shape
    if options.rank >= min(cells, genes):
        raise InputError(
            f"layer rank {options.rank} is too large for {dataset.path.name} with {cells} cells "
            f"x {genes} genes: "
            f"'layers' may hold numbers up to {min(cells, genes) - 1}."
        )
    if previous is None:
        return
    above = previous.thetas[-1].shape[1]
    if options.rank >= above:
        raise InputError(
            f"layer {len(previous.thetas) + 1} has {options.rank} programs and the one before it "
            f"{above}: each layer is a coarser view, so let the numbers in 'layers' fall."
        )
    same = (
        previous.obs.index.equals(dataset.obs.index),
        previous.var.index.equals(dataset.var.index),
    )
    if not all(same):
        raise InputError(
            f"the model of layer {len(previous.thetas)} was fitted to other cells or genes than "
            f"{dataset.path.name} holds: fit its layers again."
        )
    was = previous.info["options"]
    changed = [name for name in _SHARED if was[name] != getattr(options, name)]
    if changed:
        raise InputError(
            f"{', '.join(changed)} differ from those that layer {len(previous.thetas)} was fitted "
            "with: all layers of a model share them."
        )


def _start(run: _Run, previous: Model | None) -> tuple[list[Tensor], Training | None]:
    """The parameters that training starts from, and the record of the first layer's start."""
    options, products = run.options, run.products
    if previous is None:
        if options.init == "random":
            shape = (products.shape[0], options.rank)
            place = {"device": products.device, "dtype": products.dtype}
            return [random_theta(*shape, run.generator, **place)], None
        loadings = first_programs(_sample(run), options.rank, run.generator, threads=run.threads)
        theta, started = pretrain_first(
            loadings,
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


def _train(run: _Run, thetas: list[Tensor]) -> tuple[NeuralNMF, Training]:
    options = run.options
    network = NeuralNMF(thetas, energy=options.loss == "energy", threads=run.threads)
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


def _model(network: NeuralNMF, products: Products, dataset: Dataset) -> Model:
    with torch.no_grad():
        found = network(products)
    factors = canonical(
        [theta.detach().cpu().numpy() for theta in network.thetas],
        [loading.numpy().T for loading in found.loadings],
    )
    return Model(
        factors.thetas, factors.betas, factors.dead, dataset.obs.copy(), dataset.var.copy()
    )


def _history(
    previous: Model | None, depth: int, started: Training | None, trained: Training
) -> pd.DataFrame:
    parts = [] if previous is None else [previous.history]
    for phase, training in (("start", started), ("joint", trained)):
        if training is not None:
            parts.append(
                pd.DataFrame(
                    {
                        "depth": depth,
                        "phase": phase,
                        "epoch": np.arange(len(training.loss)),
                        "loss": training.loss,
                        "mse": training.mse,
                    }
                )
            )
    return pd.concat(parts, ignore_index=True)


def _info(model: Model, previous: Model | None, options: LayerOptions, trained: Training) -> dict:
    earlier = [] if previous is None else previous.info["layer_options"]
    return {
        "layers": model.layers,
        "solver": options.beta,
        "loss": options.loss,
        "seed": options.seed,
        "mse": trained.mse[int(np.argmin(trained.loss))],
        "status": trained.status.name.lower(),
        "status_text": trained.status.value,
        "options": options.plain(),
        "layer_options": [*earlier, options.plain()],
        "versions": {
            "neuralNMF": __version__,
            "torch": torch.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
    }
