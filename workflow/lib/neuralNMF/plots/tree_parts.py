"""What the picture of the tree shows of each program, and its table."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from neuralNMF.evidence.main_program import main_programs
from neuralNMF.evidence.majority import NOTHING, majority
from neuralNMF.evidence.markers import expression_shares, top_markers
from neuralNMF.plots.labels import Coloured
from neuralNMF.plots.layers import Layers
from neuralNMF.plots.style import row_percent

MARKERS = 6  # of a program


@dataclass(frozen=True)
class TreeParts:
    """The programs of L layers as a graph; lists have an entry a layer.

    Attributes
    ----------
    layers : Layers
        Names, order and flags.
    made_of : list of ndarray, (k_l, k_{l+1}) each
        Percent of each program that is made up of each of the next layer; of L - 1 layers.
    expression : list of ndarray, (k_l,) each
        Each program's part of all that the cells express, 0 to 1.
    markers : list of list of str
        Each program's best markers in one line.
    labels : Coloured or None
        Of the cells.
    majorities : list of (ndarray of int, ndarray)
        Every program's label, and its share; none without labels.
    """

    layers: Layers
    made_of: list[np.ndarray]
    expression: list[np.ndarray]
    markers: list[list[str]]
    labels: Coloured | None
    majorities: list[tuple[np.ndarray, np.ndarray]]


def tree_parts(
    thetas: Sequence[np.ndarray],
    usages: Sequence[np.ndarray],
    betas: Sequence[np.ndarray],
    layers: Layers,
    symbols: np.ndarray,
    *,
    gene_scale: np.ndarray | None = None,
    labels: Coloured | None = None,
) -> TreeParts:
    """Find out what the picture shows.

    Parameters
    ----------
    thetas, usages, betas : sequence of ndarray
        Theta_l (k_{l-1}, k_l), U_l (N, k_l), beta_l (k_l, M).
    layers : Layers
        Of the same model.
    symbols : ndarray of str, (M,)
        Names of the genes.
    gene_scale : ndarray or None, (M,)
        What the fit multiplied each gene by.
    labels : Coloured or None
        Of the N cells.

    Returns
    -------
    TreeParts
    """
    expression, markers, majorities = [], [], []
    for usage, beta, evidence, programs in zip(
        usages, betas, layers.evidence, layers.programs, strict=True
    ):
        totals = usage.sum(axis=0, dtype=np.float64)
        expression.append(expression_shares(beta, totals, gene_scale))
        best = top_markers(beta, evidence.markers, MARKERS)
        markers.append([" ".join(map(str, symbols[genes])) for genes in best])
        if labels is not None:
            main, _ = main_programs(row_percent(usage), programs.order, programs.grey)
            majorities.append(majority(main, labels.labels.codes, len(beta)))
    made_of = [row_percent(np.asarray(theta, dtype=np.float64)) for theta in thetas[1:]]
    return TreeParts(layers, made_of, expression, markers, labels, majorities)


def tree_table(parts: TreeParts) -> pd.DataFrame:
    """The picture's figures: a row a program, in its order.

    Returns
    -------
    DataFrame
        ``layer``, ``program``, ``name``, ``expression_share``, ``markers``; with labels ``label``,
        that of more than half of the cells whose main program it is, and ``label_share``, of how
        many (empty where no label has); and for each program of the next layer ``P1`` ... the
        percent that is made up of it (empty in the last).
    """
    tables = []
    for number, programs in enumerate(parts.layers.programs):
        order = programs.order
        columns = {
            "layer": number + 1,
            "program": [f"P{k + 1}" for k in order],
            "name": [programs.names[k] for k in order],
            "expression_share": parts.expression[number][order],
            "markers": [parts.markers[number][k] for k in order],
        }
        if parts.labels is not None:
            label, share = parts.majorities[number]
            names = [*parts.labels.labels.names, ""]  # the last: of a program without cells
            columns["label"] = [names[label[k]] for k in order]
            columns["label_share"] = np.where(label == NOTHING, np.nan, share)[order]
        if number < len(parts.made_of):
            made_of = parts.made_of[number][order]
            columns |= {f"P{k + 1}": made_of[:, k] for k in range(made_of.shape[1])}
        tables.append(pd.DataFrame(columns))
    return pd.concat(tables, ignore_index=True)
