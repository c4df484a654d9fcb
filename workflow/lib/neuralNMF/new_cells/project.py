"""The usage of new cells at every layer of a model, its programs held."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from neuralNMF.dataset.join import InputCells, check_names, join_obs
from neuralNMF.dataset.options import InputSpec
from neuralNMF.io.counts import CountsReader, open_counts
from neuralNMF.io.model import Model
from neuralNMF.new_cells.match_genes import GeneMatch, match_genes
from neuralNMF.new_cells.new_batches import cells_of_batches, with_new_batches
from neuralNMF.progress import bar
from neuralNMF.projection.labels import predicted_labels
from neuralNMF.projection.programs import held_programs
from neuralNMF.threads import Threads, threads_of_a_fit

logger = logging.getLogger(__name__)

# Columns of obs that are filled here; the user's own of these names get a prefix.
_FILLED = ("cell_scale", "predicted_label", "predicted_probability")


def project(
    model: Model,
    inputs: str | Path | Sequence[InputSpec],
    *,
    threads: int | None = None,
    chunk_cells: int = 2000,
    temporary: str | Path | None = None,
    progress: bool = True,
) -> Model:
    """Find the usage of new cells, with the programs of a model held.

    Exact at every layer: non-negative least squares for a model of squared errors, the maximum of
    the likelihood for a Poisson model (docs/method.md). Cells of the model's own data set get the
    usage that the model says. Memory holds the result, and the counts of some cells at a time.

    Parameters
    ----------
    model : Model
        L layers, M genes.
    inputs : str, Path or sequence of InputSpec
        Counts of any format that `io.counts.open_counts` reads, with all of their genes: cells are
        scaled by their totals. With several inputs a barcode gets the input's name as suffix.
    threads : int or None
        Of the host; None takes torch's own number. They do not change the result.
    chunk_cells : int
        Cells read at once.
    temporary : str, Path or None
        Folder for temporary files of formats that have to be sorted.
    progress : bool
        Whether to show progress bars.

    Returns
    -------
    Model
        Of the new cells: their ``obs`` (the input's columns, ``dataset``, ``total_counts``,
        ``selected_counts`` over the model's genes, ``cell_scale``, and ``predicted_label`` with
        ``predicted_probability`` where labels guided the model), their Theta_1 in the units of the
        model, and all else as in the model. ``info["projected"]`` has an entry an input: which
        genes were found, and how many cells are empty. `io.model.save_model` writes it.

    Raises
    ------
    InputError
        The model does not say how its cells were scaled, a file is not what it should be, or has
        too few of the model's genes.
    """
    if isinstance(inputs, str | Path):
        inputs = [InputSpec(inputs, Path(inputs).stem)]
    check_names(inputs)
    thetas, scales, cells, records = [], [], [], []
    found_in = np.zeros(len(model.var), dtype=np.int64)
    with threads_of_a_fit(threads) as pool:
        for spec in inputs:
            with closing(open_counts(spec.path, spec.layer, temporary=temporary)) as reader:
                match = match_genes(model, reader)
                of_batches = cells_of_batches(model, reader, spec.name)
                new_cells = _NewCells(reader, match, of_batches, chunk_cells)
                model = with_new_batches(model, of_batches, match.genes, new_cells.chunks, pool)
                parts = _usage_of_input(model, new_cells, pool, spec.name if progress else None)
            theta, scale, totals, selected = (np.concatenate(part) for part in parts)
            thetas.append(theta)
            scales.append(scale)
            obs = reader.obs.rename(columns={name: f"input_{name}" for name in _FILLED})
            obs = obs.assign(**of_batches.drop(columns=["dataset"], errors="ignore"))
            cells.append(InputCells(spec.name, obs, totals, selected))
            records.append(_record(spec.name, match, selected))
            found_in[match.genes] += 1
    obs = join_obs(cells, suffixes=len(cells) > 1)
    return _model(model, thetas, scales, obs, found_in, records)


@dataclass(frozen=True)
class _NewCells:
    """The cells of an input, as the model's programs are held against them.

    Attributes
    ----------
    reader : CountsReader
    match : GeneMatch
        Which of its genes are the model's.
    of_batches : DataFrame
        The column of the cells' batches, if the model has any.
    chunk_cells : int
        Cells read at once.
    """

    reader: CountsReader
    match: GeneMatch
    of_batches: pd.DataFrame
    chunk_cells: int

    def chunks(self) -> Iterator[tuple[sp.csr_matrix, pd.DataFrame]]:
        """Counts of the model's genes, and ``total_counts`` over all beside the batches."""
        for start, counts in self.reader.chunks(self.chunk_cells):
            there = counts[:, self.match.columns]
            there.sort_indices()
            obs = self.of_batches.iloc[start : start + counts.shape[0]]
            yield there, obs.assign(total_counts=_totals(counts))


def _usage_of_input(
    model: Model, new_cells: _NewCells, threads: Threads, title: str | None
) -> tuple[list[np.ndarray], ...]:
    """Theta_1, cell_scale, totals and totals over the model's genes, chunk by chunk."""
    held = held_programs(model, new_cells.match.genes, threads)
    thetas, scales, totals, selected = [], [], [], []
    with bar(title, "cell", new_cells.reader.shape[0], shown=title is not None) as cells:
        for there, obs in new_cells.chunks():
            totals.append(obs["total_counts"].to_numpy())
            selected.append(_totals(there))
            usage = held.usage(held.prepared(there, obs))
            thetas.append(usage.theta.astype(model.thetas[0].dtype))
            scales.append(usage.cell_scale)
            cells.update(there.shape[0])
    return thetas, scales, totals, selected


def _totals(counts: Any) -> np.ndarray:
    return np.asarray(counts.sum(axis=1, dtype=np.float64)).ravel()


def _record(name: str, match: GeneMatch, selected: np.ndarray) -> dict[str, Any]:
    """What is to be known of an input, in plain types; empty cells are warned of."""
    empty = int((selected == 0).sum())
    if empty:
        logger.warning(
            "%s: %d of %d cells have no count in the model's genes: their usage is zero.",
            name,
            empty,
            selected.size,
        )
    return {
        "name": name,
        "cells": selected.size,
        "cells_empty": empty,
        "genes_by": match.by,
        "genes": match.genes.size,
        "share_of_programs": match.share,
        "least_share_of_a_program": match.least_share,
    }


def _model(
    model: Model,
    thetas: list[np.ndarray],
    scales: list[np.ndarray],
    obs: pd.DataFrame,
    found_in: np.ndarray,
    records: list[dict[str, Any]],
) -> Model:
    """The model with other cells."""
    theta = np.concatenate(thetas)
    columns: dict[str, np.ndarray] = {"cell_scale": np.concatenate(scales)}
    projected = Model(
        [theta, *model.thetas[1:]],
        model.betas,
        model.dead,
        obs,
        model.var.assign(found_in_inputs=found_in),
        model.history,
        {**model.info, "projected": records},
        model.deviations,
        batches=model.batches,
    )
    if "classifier" in model.info:
        usage = projected.usages[model.info["classifier"]["layer"] - 1]
        columns |= predicted_labels(model.info["classifier"], usage)
    projected.obs = obs.assign(**columns)
    return projected
