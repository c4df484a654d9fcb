"""What every method that finds programs gives back, and all that is measured of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from neuralNMF.evidence.agreement import hierarchy
from neuralNMF.evidence.label_scores import counted

from benchmarks.answer import measures
from benchmarks.answer.sets import Cells, halves
from benchmarks.common import timed


@dataclass(frozen=True)
class Answer:
    """The layers of programs that a method found in some cells.

    Attributes
    ----------
    thetas : sequence of ndarray
        Theta_1 (N, k_1), then Theta_l (k_{l-1}, k_l), of programs that sum to one.
    usages : sequence of ndarray, (N, k_l) each
        Of every layer.
    project : function of Cells
        The usage of these programs in any cells: a sequence of (n, k_l).
    error : function of the layer's number from 0 on, or None
        How far the layer is from the data, its programs refitted to its usage; None where no layers
        are nested.
    """

    thetas: Sequence[np.ndarray]
    usages: Sequence[np.ndarray]
    project: Callable[[Cells], Sequence[np.ndarray]]
    error: Callable[[int], float] | None = None


Method = Callable[[Cells, int], Answer]  # the whole pipeline, of cells and a seed
Measured = Callable[[Cells, int], list[dict]]  # its measures, a row for each layer


def replications(method: Method, cells: Cells, seed: int) -> list[float]:
    """Replication of each layer: the whole pipeline on each half, usage of all cells by both."""
    first, second = (
        method(cells.take(half), seed).project(cells) for half in halves(cells.number, seed)
    )
    return [measures.replication(*pair) for pair in zip(first, second, strict=True)]


def flow(answer: Answer, cells: Cells) -> float:
    """`hierarchy` of the cells whose two labels count."""
    there = counted(cells.fine) & counted(cells.coarse)
    thetas = [answer.thetas[0][there], *answer.thetas[1:]]
    return hierarchy(thetas, cells.fine[there], cells.coarse[there])


def measured(
    method: Method, cells: Cells, seed: int, flat: Callable[[int], float] | None = None
) -> list[dict]:
    """All measures of a method on some cells, a dictionary for each layer.

    `flat` gives the error of a factorization of one layer of some rank.
    """
    answer, seconds = timed(lambda: method(cells, seed))
    rows = []
    replicated = replications(method, cells, seed)
    for number, usage in enumerate(answer.usages):
        row = {"layer": number + 1, "rank": usage.shape[1], "replication": replicated[number]}
        row |= measures.of_layer(usage, cells.fine, cells.coarse, seed)
        if flat is not None and answer.error is not None:
            row["error_ratio"] = answer.error(number) / flat(int(usage.any(axis=0).sum()))
        rows.append(row)
    rows[0] |= {"hierarchy": flow(answer, cells), "seconds": seconds}
    return rows
