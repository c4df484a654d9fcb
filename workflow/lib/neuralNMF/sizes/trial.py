"""Trials of sizes: a layer by consensus, and all that speaks for it or against it."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from neuralNMF.batches.factors import Batches
from neuralNMF.consensus.fit import add_layer
from neuralNMF.consensus.held_out import SPLITS, HeldOut
from neuralNMF.errors import NeuralNMFError
from neuralNMF.evidence.usage import effective_number
from neuralNMF.io.dataset import Dataset
from neuralNMF.io.model import Model
from neuralNMF.least_squares.batch_factors import learn_batches
from neuralNMF.options import LayerOptions
from neuralNMF.progress import counted
from neuralNMF.team import Team
from neuralNMF.threads import threads_of_a_fit

_log = logging.getLogger(__name__)

ERRORS = [f"held_out_{split}" for split in range(1, SPLITS + 1)]
COLUMNS = [
    "layer",
    "before",
    "size",
    "programs",
    "replicated",
    "replication",
    "stability",
    "held_out",
    *ERRORS,
    "parents",
    "gap",
    "seconds",
    "status",
]
FINE, NOT_TRIED = "fine", "not tried"

Row = dict[str, Any]


class Trials:
    """Tries sizes of layers on one data set.

    Parameters
    ----------
    dataset : Dataset
        All cells; or a range of them, and each process of its team tries the same sizes.
    options : LayerOptions
        Of all layers; the rank is what is tried.
    progress : bool
        Whether to show progress bars.
    """

    def __init__(self, dataset: Dataset, options: LayerOptions, *, progress: bool = True) -> None:
        self.dataset, self.progress = dataset, progress
        self.options = replace(options, consensus=True)
        self._held_out: HeldOut | None = None
        self._first: dict[int, Model] = {}

    @cached_property
    def _batches(self) -> Batches | None:
        """The factors of the cells' batches, the same for all sizes."""
        if self.options.batch is None:
            return None
        with threads_of_a_fit(self.options.threads) as threads:
            return learn_batches(self.dataset, self.options, threads)

    def first_layers(self, sizes: Iterable[int]) -> pd.DataFrame:
        """Try sizes of the first layer.

        Parameters
        ----------
        sizes : iterable of int

        Returns
        -------
        DataFrame
            A row a size, with `COLUMNS`; docs/choosing_sizes.md describes them.
        """
        each = counted(sizes, "sizes of layer 1", "size", shown=self.progress)
        return _table(self._tried(None, (), size)[0] for size in each)

    def later_layers(
        self, previous: Model, before: tuple[int, ...], sizes: Iterable[int]
    ) -> Iterator[tuple[Row, Model | None]]:
        """Try sizes of the layer after a model's last one.

        Parameters
        ----------
        previous : Model
        before : tuple of int
            What its layers were asked for.
        sizes : iterable of int

        Yields
        ------
        row : dict
            With `COLUMNS`.
        model : Model or None
            None where the fit has failed.
        """
        name = f"sizes of layer {len(before) + 1}"
        for size in counted(sizes, name, "size", shown=self.progress):
            yield self._tried(previous, before, size)

    def model(self, sizes: Iterable[int]) -> Model:
        """The model with layers of these sizes; a first one that was tried is not fitted again."""
        first, *later = sizes
        model = self._first.get(first)
        for size in later if model is not None else (first, *later):
            options = replace(self.options, rank=size)
            model = add_layer(
                self.dataset, model, options, batches=self._batches, gains=False, progress=False
            )
        assert model is not None
        return model

    def _tried(
        self, previous: Model | None, before: tuple[int, ...], size: int
    ) -> tuple[Row, Model | None]:
        row: Row = {"layer": len(before) + 1, "before": "-".join(map(str, before)), "size": size}
        start, model = time.perf_counter(), None
        try:
            options = replace(self.options, rank=size)
            model = add_layer(
                self.dataset,
                previous,
                options,
                batches=self._batches,
                gains=False,
                progress=False,
            )
            row |= _figures(model, self.dataset.team)
            if previous is None:
                self._first[size] = model
                errors = self._errors(model, options)
                row |= dict(zip(ERRORS, errors, strict=True)) | {"held_out": errors.mean()}
            row["status"] = FINE
        except NeuralNMFError as error:
            if self.dataset.team.size > 1 and not error.of_all:
                raise  # the others wait for this process
            row["status"] = f"failed: {error}"
            _log.warning("size %d: failed: %s", size, error)
        row["seconds"] = round(time.perf_counter() - start, 2)
        return row, model

    def _errors(self, model: Model, options: LayerOptions) -> np.ndarray:
        if self._held_out is None:
            self._held_out = HeldOut(self.dataset, options, self._batches)
        return self._held_out.errors(model.betas[0] / model.var["gene_scale"].to_numpy())


def _figures(model: Model, team: Team) -> Row:
    """What the newest layer of a model is like."""
    found = model.replication
    newest = found[found["layer"] == len(model.layers)] if len(found) else found
    row: Row = {"programs": model.layers[-1]}
    if len(newest):
        row |= {
            "replicated": newest["replicated"].mean(),
            "replication": newest["replication"].median(),
            "stability": newest["stability"].median(),
        }
    if len(model.thetas) > 1:
        parts, weights = model.thetas[-1], model.usages[-2].sum(axis=0, dtype=np.float64)
        team.add(weights)
        row["parents"] = np.average(effective_number(parts), weights=weights)
    return row


def _table(rows: Iterable[Row]) -> pd.DataFrame:
    return pd.DataFrame(list(rows)).reindex(columns=COLUMNS)
