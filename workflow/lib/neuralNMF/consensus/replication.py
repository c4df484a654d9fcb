"""Whether a model's programs are found again in fits of other cells, and from other starts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment

from neuralNMF.evidence.matching import unit_columns

REPLICATED = 0.8  # correlation of usage from which on two programs are the same one
COLUMNS = ["layer", "program", "replication", "gene_cosine", "replicated", "stability"]


class Found:
    """The programs of one layer of one fit, as seen from the cells that all fits are compared on.

    Parameters
    ----------
    usage : ndarray, (n, k)
        Of these cells.
    programs : ndarray, (k, M)
        In counts.

    Attributes
    ----------
    units : ndarray, (n, k)
        The usage, centred and of norm one.
    shares : ndarray, (k, M)
        The programs, rows at sum one.
    """

    def __init__(self, usage: np.ndarray, programs: np.ndarray) -> None:
        self.usage = usage
        self.units = unit_columns(usage)
        sums = programs.sum(axis=1, keepdims=True)
        self.shares = programs / np.where(sums > 0, sums, 1.0)

    def partners(self, other: Found) -> np.ndarray:
        """The program of another fit that each of these is, -1 where it has none, (k,)."""
        rows, columns = linear_sum_assignment(self.units.T @ other.units, maximize=True)
        partners = np.full(self.units.shape[1], -1)
        partners[rows] = columns
        return partners


def between(model: Found, one: Found, other: Found) -> tuple[np.ndarray, np.ndarray]:
    """How alike two fits are in what is each program of a model in them.

    Parameters
    ----------
    model, one, other : Found
        The same layer of the model and of two other fits.

    Returns
    -------
    correlation, cosine : ndarray, (k,)
        Of the usage and of the programs of the model's partners in the two; 0 where one of them has
        no partner.
    """
    first, second = model.partners(one), model.partners(other)
    there = (first >= 0) & (second >= 0)
    usage = np.sum(one.units[:, first] * other.units[:, second], axis=0)
    lengths = np.linalg.norm(one.shares[first], axis=1) * np.linalg.norm(
        other.shares[second], axis=1
    )
    genes = np.sum(one.shares[first] * other.shares[second], axis=1)
    genes = np.divide(genes, lengths, out=np.zeros_like(genes), where=lengths > 0)
    return np.where(there, usage, 0.0), np.where(there, genes, 0.0)


def replication_table(
    model: Sequence[Found],
    halves: Sequence[tuple[Sequence[Found], Sequence[Found]]],
    starts: Sequence[tuple[Sequence[Found], Sequence[Found]]],
) -> pd.DataFrame:
    """Judge the programs of every layer of a model by other fits.

    Parameters
    ----------
    model : sequence of Found
        Every layer.
    halves : sequence of pairs
        The layers of fits of two halves of the cells.
    starts : sequence of pairs
        The layers of fits of the same cells from two starts.

    Returns
    -------
    DataFrame
        A row a program: ``layer`` and ``program``, from 1 on; ``replication`` and ``gene_cosine``,
        the median correlation of usage and cosine of programs between two halves; ``replicated``,
        whether the first is 0.8 or more; ``stability``, as ``replication`` between starts.
    """
    tables = []
    for layer, own in enumerate(model):
        by_half = [between(own, one[layer], other[layer]) for one, other in halves]
        by_start = [between(own, one[layer], other[layer])[0] for one, other in starts]
        usage, genes = np.median(np.array(by_half), axis=0)
        tables.append(
            pd.DataFrame(
                {
                    "layer": layer + 1,
                    "program": np.arange(1, usage.size + 1),
                    "replication": usage,
                    "gene_cosine": genes,
                    "replicated": usage >= REPLICATED,
                    "stability": np.median(np.array(by_start), axis=0),
                },
                columns=COLUMNS,
            )
        )
    return pd.concat(tables, ignore_index=True)
