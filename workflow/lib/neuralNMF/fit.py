"""The fit of one layer: checks, the fit by the kind of model that the options name, the model."""

from __future__ import annotations

import logging
import platform
from typing import Any

import numpy as np
import pandas as pd
import torch

from neuralNMF import __version__
from neuralNMF.batches.factors import Batches
from neuralNMF.canonical import canonical
from neuralNMF.cells.place import Place
from neuralNMF.cells.stream import cells_held, is_dense_dataset
from neuralNMF.device import resolve_device
from neuralNMF.errors import DeviceError, InputError
from neuralNMF.io.dataset import Dataset
from neuralNMF.io.model import Model
from neuralNMF.least_squares.batch_factors import PROGRAMS, learn_batches
from neuralNMF.least_squares.fit import fit_least_squares
from neuralNMF.memory import Demand, check_memory
from neuralNMF.options import POISSON, LayerOptions, rank_in_memory
from neuralNMF.poisson.fit import fit_poisson
from neuralNMF.projection.settle import settle
from neuralNMF.team import Team
from neuralNMF.threads import threads_of_a_fit
from neuralNMF.training.checkpoints import NOTHING_KEPT, Checkpoint
from neuralNMF.training.context import FitContext
from neuralNMF.training.fitted import Fitted
from neuralNMF.training.loop import Training
from neuralNMF.training.supported import support_needed

_log = logging.getLogger(__name__)

_DTYPES = {"float32": torch.float32, "float64": torch.float64}
# Options that one model has only one value of, whatever the layer.
_SHARED = (
    "normalize",
    "transform",
    "gene_power",
    "beta",
    "loss",
    "precision",
    "prior_shape",
    "prior_rate",
    "batch",
)


def fit_layer(
    dataset: Dataset,
    previous: Model | None,
    options: LayerOptions,
    *,
    programs: np.ndarray | None = None,
    batches: Batches | None = None,
    progress: bool = True,
    warn: bool = True,
    exact_usage: bool = True,
    checkpoint: Checkpoint = NOTHING_KEPT,
) -> Model:
    """Add a layer of programs to a model, and train.

    Parameters
    ----------
    dataset : Dataset
        N cells, M genes; or a range of the cells, and each process of its team calls this with its
        own (`shards`).
    previous : Model or None
        The model that the layer is added to, fitted to the same cells and genes, with the rows of
        these cells; None for the first layer.
    options : LayerOptions
        Of the new layer.
    programs : ndarray or None, shape (k, M)
        What the new layer starts from, in counts, at most as many as the options' rank; None finds
        a start (``init``).
    batches : Batches or None
        The factors of the cells' batches, of this or a larger data set; None learns those of a
        first layer where the options name a column of batches. Later layers have those of the
        first.
    progress : bool
        Whether to show progress bars.
    warn : bool
        Whether to warn of programs that are given up.
    exact_usage : bool
        Whether the fit ends with the usage at its minimum for the programs. Without, it is that of
        the last epoch, which will do where the programs alone are asked for.
    checkpoint : Checkpoint
        Keeps the state of the fit while it runs; what it kept of an interrupted one is gone on
        with.

    Returns
    -------
    Model
        Complete, with one layer more, in canonical form.

    Raises
    ------
    InputError
        The options do not fit the data or the previous model.
    DeviceError
        The device is absent, or its memory too small.
    """
    device = resolve_device(options.device)
    with dataset.team.failing_together():
        _check(dataset, previous, options)
        if programs is not None:
            _check_programs(dataset, options, programs)
    with threads_of_a_fit(options.threads) as threads:
        if previous is not None:
            batches = previous.batches
        elif batches is None and options.batch is not None:
            batches = learn_batches(dataset, options, threads)
        context = FitContext(
            dataset,
            previous,
            options,
            Place(device, _DTYPES[options.precision], threads),
            # A stream of random numbers a layer: its start depends on the seed and its depth alone.
            torch.Generator().manual_seed(_stream_seed(options.seed, previous)),
            progress,
            programs,
            batches,
            exact_usage,
            checkpoint,
        )
        try:
            model = _fit(context)
        except torch.OutOfMemoryError as error:
            raise DeviceError(
                f"The memory of {device} is too small for layer {context.depth}: lower "
                "'data_mem_size', the cells that it holds at a time, or take 'device: cpu'."
            ) from error
    if warn:
        _tell_what_is_missing(context, model)
    return model


def _fit(context: FitContext) -> Model:
    dataset, previous, options = context.dataset, context.previous, context.options
    depth, place = context.depth, context.place
    _log.info(
        "layer %d: %d programs, on %s with %d threads",
        depth,
        context.rank,
        place.device,
        place.threads.count,
    )
    if place.device.type == "cpu":
        with dataset.team.failing_together():
            check_memory(_demand(context), sharing=dataset.team.here)
    fitted = fit_poisson(context) if options.loss in POISSON else fit_least_squares(context)
    if previous is not None and not fitted.joint:
        _keep_programs(fitted, previous, dataset.team)
    model = _model(fitted, dataset, previous)
    model.batches = context.batches
    model.history = _history(previous, depth, fitted)
    model.info = _info(model, previous, options, fitted)
    if "inputs" in dataset.notes:
        model.info["inputs"] = dataset.notes["inputs"]
    settle(context, model, fitted)
    return model


def _keep_programs(fitted: Fitted, previous: Model, team: Team) -> None:
    """Where the earlier layers were held, their programs are those that they came out with."""
    sums = np.ones(fitted.thetas[0].shape[0])
    for layer, (beta, usage) in enumerate(zip(previous.betas, previous.usages, strict=True)):
        sums = sums @ fitted.thetas[layer].cpu().double().numpy()
        if layer == 0:
            team.add(sums)
        if sums.size == len(beta):  # none was given up
            before = usage.sum(axis=0, dtype=np.float64)
            team.add(before)
            scale = np.divide(before, sums, out=np.zeros_like(sums), where=sums > 0)
            fitted.programs_t[layer] = torch.from_numpy(beta.T * scale)


def _tell_what_is_missing(context: FitContext, model: Model) -> None:
    """Log which layers have lost programs by this fit, and how many would do."""
    options, previous = context.options, context.previous
    newest = options.rank if context.programs is None else context.rank
    asked = [*(layer["rank"] for layer in model.info["layer_options"][:-1]), newest]
    before = [*([] if previous is None else previous.layers), newest]
    for layer, found in enumerate(model.layers):
        if found < before[layer]:
            _log.warning(
                "layer %d has %d programs of the %d that were asked for: fewer than %.3g cells "
                "carry any further one ('min_support'); a size of %d would do.",
                layer + 1,
                found,
                asked[layer],
                support_needed(options.min_support, context.dataset.all_cells),
                found,
            )
    dead = int(model.dead[-1].sum())
    if dead:
        _log.warning(
            "%d of the %d programs of layer %d are dead, no cell uses them: "
            "a smaller rank would do.",
            dead,
            newest,
            context.depth,
        )


def _stream_seed(seed: int, previous: Model | None) -> int:
    return seed * 1000 + (1 if previous is None else len(previous.thetas) + 1)


def _check(dataset: Dataset, previous: Model | None, options: LayerOptions) -> None:
    cells, genes = dataset.all_cells, dataset.shape[1]
    if options.rank >= min(cells, genes):
        raise InputError(
            f"layer rank {options.rank} is too large for {dataset.path.name} with {cells} cells "
            f"x {genes} genes: "
            f"'layers' may hold numbers up to {min(cells, genes) - 1}."
        )
    if previous is None:
        return
    above = previous.info["options"]["rank"]
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
    changed = [name for name in _SHARED if was.get(name) != getattr(options, name)]
    if changed:
        raise InputError(
            f"{', '.join(changed)} differ from those that layer {len(previous.thetas)} was fitted "
            "with: all layers of a model share them."
        )


def _check_programs(dataset: Dataset, options: LayerOptions, programs: np.ndarray) -> None:
    genes = dataset.shape[1]
    if programs.ndim != 2 or programs.shape[1] != genes or not 1 <= len(programs) <= options.rank:
        raise InputError(
            f"the programs to start from have shape {programs.shape}, but {dataset.path.name} has "
            f"{genes} genes and the layer {options.rank} programs: give one row for each of at "
            "most so many programs and one column a gene."
        )


def _demand(context: FitContext) -> Demand:
    dataset, previous, options = context.dataset, context.previous, context.options
    cells, genes = dataset.shape
    ranks = [*([] if previous is None else previous.layers), context.rank]
    dense = options.loss not in POISSON and is_dense_dataset(dataset)
    return Demand(
        cells=cells,
        genes=genes,
        nonzeros=dataset.nnz,
        rank=rank_in_memory(ranks, options.loss),
        item=context.place.dtype.itemsize,
        dense=dense,
        held=cells_held(dataset, options.data_mem_size, dense=dense),
        threads=context.place.threads.count,
        group_sums=0 if context.batches is None else len(context.batches.names) * PROGRAMS,
    )


def _model(fitted: Fitted, dataset: Dataset, previous: Model | None) -> Model:
    """The model of the factors; their Theta_1 becomes the model's, but for that of the previous."""
    thetas = [theta.cpu().numpy() for theta in fitted.thetas]
    held = previous is not None and np.may_share_memory(thetas[0], previous.thetas[0])
    factors = canonical(
        thetas,
        [program_t.numpy().T for program_t in fitted.programs_t],
        dataset.team,
        overwrite=not held,
    )
    obs = dataset.obs.assign(cell_scale=fitted.cell_scale)
    var = dataset.var.assign(gene_scale=fitted.gene_scale)
    # A dead program's mass is infinite: its deviation is 0, as its beta is.
    deviations = [
        (deviation.numpy()[:, order] / mass).T
        for deviation, order, mass in zip(
            fitted.deviations, factors.orders, factors.masses, strict=False
        )
    ]
    return Model(factors.thetas, factors.betas, factors.dead, obs, var, deviations=deviations)


def _history(previous: Model | None, depth: int, fitted: Fitted) -> pd.DataFrame:
    parts = [] if previous is None else [previous.history]
    records: list[tuple[str, Training | None]] = [
        ("start", fitted.started),
        ("joint", fitted.trained),
    ]
    for phase, training in records:
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


def _info(
    model: Model, previous: Model | None, options: LayerOptions, fitted: Fitted
) -> dict[str, Any]:
    earlier = [] if previous is None else previous.info["layer_options"]
    return {
        "layers": model.layers,
        "solver": options.beta,
        "loss": options.loss,
        "seed": options.seed,
        **fitted.figures,
        "status": fitted.trained.status.name.lower(),
        "status_text": fitted.trained.status.value,
        "options": options.plain(),
        "layer_options": [*earlier, options.plain()],
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """Of what computes a fit, by name."""
    return {
        "neuralNMF": __version__,
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }
