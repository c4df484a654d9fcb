"""The factors of batches that a model does not know, from their cells and the programs held."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pandas as pd
import scipy.sparse as sp

from neuralNMF.batches.effects import factors_beside
from neuralNMF.cells.scaling import Scaling
from neuralNMF.io.counts import CountsReader
from neuralNMF.io.model import Model
from neuralNMF.options import INPUT
from neuralNMF.projection.programs import held_programs
from neuralNMF.threads import Threads

logger = logging.getLogger(__name__)

_ROUNDS = 2

# Counts of some cells on the genes that are there, with the columns of `obs` that fits need.
Chunks = Callable[[], Iterator[tuple[sp.csr_matrix, pd.DataFrame]]]


def cells_of_batches(model: Model, reader: CountsReader, name: str) -> pd.DataFrame:
    """The column of batches of new cells, as the model calls it; none where it has no batches.

    Parameters
    ----------
    model : Model
    reader : CountsReader
    name : str
        Of the input. Where it has no such column, it is one batch of this name.
    """
    index = reader.obs.index
    if model.batches is None:
        return pd.DataFrame(index=index)
    column = model.batches.column
    if column != INPUT and column in reader.obs.columns:
        return reader.obs[[column]]
    if column != INPUT:
        logger.warning(
            "%s: it has no column '%s' of batches, as the model has: it is one batch, '%s'.",
            name,
            column,
            name,
        )
    return pd.DataFrame({"dataset" if column == INPUT else column: name}, index=index)


def with_new_batches(
    model: Model, of_cells: pd.DataFrame, genes: np.ndarray, chunks: Chunks, threads: Threads
) -> Model:
    """The model with factors of those batches of new cells that it does not know.

    As in a fit (`batches.effects`), but the programs are held: what they expect of a batch's cells,
    group by group, stands in the place of the cells of other batches.

    Parameters
    ----------
    model : Model
        Programs of M genes.
    of_cells : DataFrame
        The column of their batches (`cells_of_batches`).
    genes : ndarray of int, (m,)
        The model's genes that are there; the factors of all others are one.
    chunks : callable
        Yields the cells, anew at each call.
    threads : Threads

    Returns
    -------
    Model
        As it is, where it knows all batches or has none.
    """
    known = model.batches
    names = [] if known is None else known.unknown(of_cells)
    if known is None or not names:
        return model
    factors = np.ones((len(names), known.factors.shape[1]))
    for _ in range(_ROUNDS):
        trial = replace(model, batches=known.with_batches(names, factors))
        observed, expected = _sums(trial, len(known.names), len(names), genes, chunks, threads)
        for batch in range(len(names)):
            factors[batch, genes] = factors_beside(
                observed[batch], expected[batch], known.noise, known.disagreement
            )
    logger.info("new batches, whose factors were found from these cells: %s", ", ".join(names))
    return replace(model, batches=known.with_batches(names, factors))


def _sums(
    model: Model, first: int, number: int, genes: np.ndarray, chunks: Chunks, threads: Threads
) -> tuple[np.ndarray, np.ndarray]:
    """Sums of X as it is and as the model has it, of each new batch and main program, (b, k, m)."""
    assert model.batches is not None
    held = held_programs(model, genes, threads)
    transform = model.info["options"]["transform"]
    programs = (model.betas[0] / model.var["gene_scale"].to_numpy())[:, genes]
    rank = len(programs)
    observed = np.zeros((number * rank, genes.size))
    used = np.zeros((number * rank, rank))
    for counts, obs in chunks():
        usage = held.usage(held.prepared(counts, obs))
        code = model.batches.codes(obs) - first
        there = np.flatnonzero((code >= 0) & (code < number) & usage.theta.any(axis=1))
        group = code[there] * rank + usage.theta[there].argmax(axis=1)
        scaling = Scaling(usage.cell_scale, np.ones(genes.size), transform, np.float64)
        values = scaling.values(counts.data, counts.indptr, counts.indices, 0, counts.shape[0])
        values = values * np.repeat(scaling.outer_cells, np.diff(counts.indptr))
        matrix = sp.csr_matrix((values, counts.indices, counts.indptr), counts.shape)[there]
        ones = np.ones(there.size), (group, np.arange(there.size))
        of_group = sp.csr_matrix(ones, (number * rank, there.size))
        observed += (of_group @ matrix).toarray()
        used += of_group @ usage.theta[there]
    shape = (number, rank, genes.size)
    return observed.reshape(shape), (used @ programs).reshape(shape)
