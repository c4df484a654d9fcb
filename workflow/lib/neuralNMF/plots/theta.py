"""Picture of the cells' usage of the programs.

N cells, k_l programs of layer l. Usage U_l (N, k_l) carries each cell's expression per program
(the rows of beta sum to 1), so its row shares are shares of the cell's fitted expression.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from neuralNMF.plots.cluster import Tree, cluster
from neuralNMF.plots.labels import as_categories, label_colours, sample_cells
from neuralNMF.plots.style import (
    COLOUR_MAP,
    FAINT,
    hide_frame,
    name_programs,
    new_figure,
    row_percent,
)

BRANCHES = 60  # merges drawn of the cells' tree: below, lines run together
REPEAT = 24  # image columns a program


def plot_theta(
    usages: Sequence[np.ndarray],
    layer: int,
    *,
    dead: np.ndarray,
    rng: np.random.Generator,
    labels: pd.Series | None = None,
    max_cells: int = 5000,
) -> Figure:
    """How the cells use the programs of one layer, with the colour scale that all layers share.

    Parameters
    ----------
    usages
        U_l (N, k_l) of every layer of the model.
    layer
        Number of the layer to draw, from 1.
    dead
        (k_l,) bool, the layer's programs that no cell uses.
    rng
        Draws the sample of cells; the same generator draws the same cells whatever the layer.
    labels
        (N,), their name stands in the legend; by default the cells have no colours.
    max_cells
        Largest number of cells that are drawn.
    """
    cells = len(usages[0])
    categories = None if labels is None else as_categories(labels)
    kept = sample_cells(cells, max_cells, rng=rng, labels=categories)
    shares = [row_percent(usage[kept]) for usage in usages]
    return plot_usage(
        shares[layer - 1],
        layer=layer,
        dead=dead,
        labels=None if categories is None else categories[kept],
        label_name=None if labels is None else str(labels.name),
        all_cells=cells,
        limit=common_limit(shares),
    )


def common_limit(shares: Sequence[np.ndarray]) -> float:
    """One upper end of the colour scale for all layers, in percent.

    The 99.5th percentile of the layer in which that is highest, rounded up to 5.
    """
    highest = max(np.percentile(share, 99.5) for share in shares)
    return float(np.clip(5 * np.ceil(highest / 5), 5, 100))


def plot_usage(
    shares: np.ndarray,
    *,
    layer: int,
    dead: np.ndarray | None = None,
    labels: pd.Categorical | None = None,
    label_name: str | None = None,
    all_cells: int | None = None,
    limit: float | None = None,
) -> Figure:
    """Clustered heat map, cells x programs.

    Parameters
    ----------
    shares
        (n, k), percent of each cell's expression.
    layer
        Number of the layer, for the words.
    dead
        (k,) bool, programs that are drawn last; by default none.
    labels, label_name
        (n,) labels that colour the rows, and what the legend calls them.
    all_cells
        How many cells `shares` is a sample of; by default it holds all.
    limit
        Upper end of the colour scale, percent; by default that of these cells alone.
    """
    cells, programs = shares.shape
    dead = np.zeros(programs, dtype=bool) if dead is None else dead
    limit = common_limit([shares]) if limit is None else limit
    columns = cluster(shares[:, ~dead].T)
    order = np.concatenate([np.flatnonzero(~dead)[columns.order], np.flatnonzero(dead)])
    # Cells are turned so that their programs run from the upper left to the lower right.
    centre = shares[:, order] @ np.arange(programs)
    rows = cluster(shares, weights=centre)

    room = float(np.clip(9.0 / programs, 0.16, 0.42))
    width = room * programs
    figure = new_figure(width + (4.2 if labels is not None else 2.6), 7.6)
    ratios = [0.7, 0.2 if labels is not None else 0.02, width, 0.18]
    grid = figure.add_gridspec(2, 4, width_ratios=ratios, height_ratios=[0.7, 6.3])
    heat = figure.add_subplot(grid[1, 2])
    image = heat.imshow(
        # Several cells share a line of pixels: smoothing averages them instead of dropping some;
        # repeated columns keep it from running over into the next program.
        np.repeat(shares[np.ix_(rows.order, order)], REPEAT, axis=1),
        aspect="auto",
        cmap=COLOUR_MAP,
        vmin=0,
        vmax=limit,
        interpolation="antialiased",
        extent=(-0.5, programs - 0.5, cells - 0.5, -0.5),
    )
    heat.set_yticks([])
    name_programs(heat, order, dead, room=room)
    heat.set_xlabel(f"programs of layer {layer}")
    top = figure.add_subplot(grid[0, 2])
    top.set_title(_usage_title(layer, cells, all_cells, label_name), fontsize=11)
    _draw_tree(top, columns, programs)
    _draw_tree(figure.add_subplot(grid[1, 0]), rows, cells, upright=True, branches=BRANCHES)
    strip = figure.add_subplot(grid[1, 1])
    hide_frame(strip)
    if labels is not None:
        _draw_labels(figure, strip, labels, rows.order, label_name)
    bar = figure.colorbar(image, cax=figure.add_subplot(grid[1, 3]), extend="max")
    bar.set_label("share of the cell's fitted expression (%)")
    return figure


def _usage_title(layer: int, cells: int, all_cells: int | None, label_name: str | None) -> str:
    if all_cells is None or all_cells == cells:
        return f"Layer {layer}: programs used by {cells:,} cells"
    how = f"stratified by {label_name}" if label_name else "drawn at random"
    return f"Layer {layer}: programs used by cells\nsample of {cells:,} of {all_cells:,}, {how}"


def _draw_tree(
    axes: Axes, tree: Tree, leaves: int, *, upright: bool = False, branches: int | None = None
) -> None:
    """The topmost `branches` merges; upright: along the y axis, root at the left."""
    hide_frame(axes)
    across, heights = tree.across, tree.heights
    if branches is not None:
        across, heights = across[-branches:], heights[-branches:].copy()
    if len(across) and heights.max() > 0:
        floor = min(heights[:, 1].min() * 0.9, heights.max())
        heights = np.maximum(heights, floor if branches is not None else 0)
        corners = (heights, across) if upright else (across, heights)
        axes.add_collection(
            LineCollection(list(np.stack(corners, axis=-1)), colors=FAINT, linewidths=0.7)
        )
        low, high = heights.min(), heights.max() * 1.03
        if upright:
            axes.set_xlim(high, low)
        else:
            axes.set_ylim(low, high)
    if upright:
        axes.set_ylim(leaves - 0.5, -0.5)
    else:
        axes.set_xlim(-0.5, leaves - 0.5)


def _draw_labels(
    figure: Figure, strip: Axes, labels: pd.Categorical, order: np.ndarray, name: str | None
) -> None:
    names = list(labels.categories)
    colours = label_colours(names)
    strip.imshow(colours[labels.codes[order]][:, None, :], aspect="auto", interpolation="none")
    counts = np.bincount(labels.codes, minlength=len(names))
    handles = [
        Patch(color=colour, label=f"{label} ({count:,})")
        for label, colour, count in zip(names, colours, counts, strict=True)
        if count
    ]
    figure.legend(
        handles=handles,
        title=name,
        loc="outside right upper",
        fontsize=8 if len(handles) <= 25 else 6,
        title_fontsize=9,
        frameon=False,
    )
