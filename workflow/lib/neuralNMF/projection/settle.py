"""The end of a fit: Theta_1 at its minimum for the programs that are saved.

Training stops where the loss has nearly stopped falling, some way before its minimum. Afterwards a
cell of the data set that comes again as a new cell gets the usage that the model says.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import numpy as np

from neuralNMF.canonical import canonical
from neuralNMF.evidence.support import layer_supports
from neuralNMF.io.dataset import Dataset
from neuralNMF.io.model import Model
from neuralNMF.options import POISSON
from neuralNMF.projection.labels import predicted_labels
from neuralNMF.projection.programs import (
    HeldPrograms,
    Prepared,
    held_programs,
    usage_weights,
)
from neuralNMF.training.context import FitContext
from neuralNMF.training.fitted import Fitted
from neuralNMF.training.loop import without_rounding
from neuralNMF.training.supported import support_needed

_log = logging.getLogger(__name__)

_CHUNK = 16_384


def settle(context: FitContext, model: Model, fitted: Fitted) -> None:
    """End a fit with the usage that the saved programs give, and add what new cells need.

    Parameters
    ----------
    context : FitContext
    model : Model
        In canonical form, with its ``info``; changed.
    fitted : Fitted
        What the model was made of. Labels of a guided fit have moved the labelled cells' usage: it
        stays, and the classifier is fitted to what new cells would get. Where the earlier layers
        were held, their usage is at its minimum already. Without ``exact_usage`` it stays too.
    """
    dataset, options, guide = context.dataset, context.options, fitted.guide
    trained = context.previous is None or fitted.joint
    model.info["usage_weights"] = _weights(context, trained)
    held = held_programs(model, threads=context.place.threads)
    if guide is not None:
        usage = np.concatenate([theta for _, _, theta in usage_of_dataset(dataset, held)])
        for theta in model.thetas[1 : guide.layer]:
            usage = usage @ theta
        model.info["classifier"] = guide.classifier_of(usage)
        model.obs = model.obs.assign(**predicted_labels(model.info["classifier"], usage))
    elif trained and context.exact_usage:
        least = support_needed(options.min_support, dataset.all_cells)
        error = settle_usage(model, dataset, held, least)
        if error is None:
            _log.warning(
                "The usage stays as training left it: at its minimum a few cells would draw a "
                "program to themselves ('min_support'), so cells that come again get another one."
            )
        elif options.loss in POISSON:
            model.info["deviance"] = error
        else:
            model.info["mse"] = error / (float(dataset.all_cells) * dataset.shape[1])


def _weights(context: FitContext, trained: bool) -> list[float]:
    """The weights of the layers' errors in the usage: see `projection.programs`."""
    if context.previous is None or trained:
        return usage_weights(context.options, context.depth)
    # The earlier layers were held, as they had come out before.
    before = context.previous.info.get("usage_weights", [1.0] * (context.depth - 1))
    return [*before, 0.0]


def settle_usage(
    model: Model, dataset: Dataset, held: HeldPrograms[Any], least_support: float = 0.0
) -> float | None:
    """Bring Theta_1 of a model to its minimum for the model's programs; changes the model.

    Parameters
    ----------
    model : Model
        In canonical form; its programs are sorted by their usage again.
    dataset : Dataset
        That it was fitted to.
    held : HeldPrograms
        Of the model.
    least_support : float
        Cells; where a program that has so much support would lose it, all is left as it was. A few
        cells far from all others may draw one to themselves.

    Returns
    -------
    float or None
        Squared error or deviance of the last layer afterwards; None where all was left.
    """
    theta, error = np.empty_like(model.thetas[0]), 0.0
    for part, cells, exact in usage_of_dataset(dataset, held, model.thetas[0]):
        theta[part] = exact  # rounded to the precision of the fit
        error += held.error(cells, theta[part].astype(np.float64))
    before, after = (
        np.concatenate(layer_supports([first, *model.thetas[1:]], team=dataset.team))
        for first in (model.thetas[0], theta)
    )
    if ((before >= least_support) & (after < least_support)).any():
        return None
    factors = canonical([theta, *model.thetas[1:]], model.betas, dataset.team, overwrite=True)
    model.thetas, model.betas, model.dead = factors.thetas, factors.betas, factors.dead
    model.deviations = [
        deviation[order] for deviation, order in zip(model.deviations, factors.orders, strict=False)
    ]
    return without_rounding(dataset.team.total(error))


def usage_of_dataset(
    dataset: Dataset, held: HeldPrograms[Any], start: np.ndarray | None = None
) -> Iterator[tuple[slice, Prepared, np.ndarray]]:
    """The usage of all cells of a data set, some at a time.

    Parameters
    ----------
    dataset : Dataset
        N cells, with the genes that are held.
    held : HeldPrograms
    start : ndarray or None, (N, k_1)
        Usage that is near.

    Yields
    ------
    part : slice
        Which cells.
    cells : Prepared
        These cells.
    theta : ndarray of float64, (n, k_1)
        Their Theta_1.
    """
    for first in range(0, dataset.shape[0], _CHUNK):
        part = slice(first, min(first + _CHUNK, dataset.shape[0]))
        cells = held.prepared(dataset.rows(part.start, part.stop), dataset.obs.iloc[part])
        yield part, cells, held.usage(cells, None if start is None else start[part]).theta
        dataset.release()
