"""Dot plot: markers by programs, how much of them a program has and in how many cells they are."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from neuralNMF.errors import InputError
from neuralNMF.plots.beta import gene_order
from neuralNMF.plots.frames import gene_names, loading_bar, name_genes
from neuralNMF.plots.labels import legend_inches, legend_of
from neuralNMF.plots.programs import PER
from neuralNMF.plots.style import (
    COLOUR_MAP,
    Programs,
    draw_title,
    new_figure,
    title_inches,
)

GENES = 5  # of a program
TALLEST = 100.0  # inches


def dots_table(
    beta: np.ndarray,
    symbols: np.ndarray,
    expressed: np.ndarray,
    genes: Sequence[np.ndarray],
    programs: Programs,
) -> pd.DataFrame:
    """What the picture is drawn from: a row a gene and program, in the order of the picture.

    Parameters
    ----------
    beta : ndarray, (k, M)
        Programs; rows sum to 1.
    symbols : ndarray of str, (M,)
        Names of the genes.
    expressed : ndarray, (k, M)
        Share of the cells that use the program most with a count of the gene
        (`neuralNMF.evidence.expressed`); NaN of a dead program.
    genes : sequence of ndarray of int
        Columns of each program's markers, the best first.
    programs : Programs
        In the order of the tree.

    Returns
    -------
    DataFrame
        ``gene``, ``marker_of``, ``program``, ``loading_per_10k``, ``cells_with_gene`` (0 to 1).
    """
    rows, owners = gene_order(beta, [best[:GENES] for best in genes], programs.order)
    order = programs.order
    return pd.DataFrame(
        {
            "gene": np.repeat(symbols[rows], len(order)),
            "marker_of": np.repeat([programs.names[k] for k in owners], len(order)),
            "program": np.tile([programs.names[k] for k in order], len(rows)),
            "loading_per_10k": PER * beta[np.ix_(order, rows)].T.astype(np.float64).ravel(),
            "cells_with_gene": expressed[np.ix_(order, rows)].T.ravel(),
        }
    )


def plot_dots(
    table: pd.DataFrame, programs: Programs, *, layer: int, max_thresh: float = 50.0
) -> Figure:
    """Draw a dot for each gene and program.

    Parameters
    ----------
    table : DataFrame
        Of `dots_table`.
    programs : Programs
        In the order of the tree.
    layer : int
        For the title.
    max_thresh : float
        End of the colours, per 10,000.

    Returns
    -------
    Figure
        Not yet saved.

    Raises
    ------
    InputError
        All programs are dead.
    """
    count = len(programs.order)
    if table.empty:
        raise InputError(f"All programs of layer {layer} are dead: there are no markers to draw.")
    blocks = table.iloc[::count]
    rows = len(blocks)
    tall = float(np.clip(TALLEST / rows, 0.06, 0.17))
    wide = float(np.clip(14.0 / count, 0.2, 0.42))
    title = (
        f"Layer {layer}: the {GENES} best markers of each program\n"
        "and how many of the cells that use the program most have a count of them"
    )
    names, long = gene_names(blocks["gene"])
    height = max(tall * rows, 2.5)
    largest = (0.92 * 72 * min(tall, wide)) ** 2
    sizes: list[Artist] = [
        Line2D([], [], linestyle="", marker="o", color="0.6", label=f"{percent} %",
               markersize=np.sqrt(largest * percent / 100))
        for percent in (10, 50, 100)
    ]  # fmt: skip
    legend = [("cells with the gene", sizes)]
    figure = new_figure(
        max(wide * count + 2.9 + long, title_inches(title) + legend_inches(legend)),
        height + programs.inches() + 0.8,
    )
    axes = figure.add_subplot()
    x, y = np.tile(np.arange(count), rows), np.repeat(np.arange(rows), count)
    share = table["cells_with_gene"].fillna(0).to_numpy()
    dots = axes.scatter(
        x,
        y,
        s=largest * share,
        c=table["loading_per_10k"],
        cmap=COLOUR_MAP,
        vmin=0,
        vmax=max_thresh,
        edgecolors="0.6",
        linewidths=0.25,
    )
    axes.set_xlim(-0.6, count - 0.4)
    axes.set_ylim(rows - 0.4, -0.6)
    owners = blocks["marker_of"].to_numpy()
    name_genes(axes, names, owners, programs, layer=layer, tall=tall, wide=wide)
    draw_title(figure, title)
    legend_of(figure, legend)
    loading_bar(figure, axes, dots, max_thresh, height=height, high=3.0)
    return figure
