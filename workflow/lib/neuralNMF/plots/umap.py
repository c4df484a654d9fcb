"""Pictures of the cells in the plane, by their labels, main programs and usage."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from neuralNMF.plots.frames import panels
from neuralNMF.plots.labels import (
    Section,
    entries,
    legend_inches,
    legend_of,
    legend_tall,
    told_apart,
)
from neuralNMF.plots.style import (
    COLOUR_MAP,
    LETTER,
    Programs,
    draw_title,
    hide_frame,
    new_figure,
    short,
    title_inches,
    verbatim,
)

SIDE = 4.4  # inches of a panel
SMALL = 1.75  # of one of many
FEW = 24  # groups that are named among the cells
LARGEST_DOT, SMALLEST_DOT = 14.0, 0.6  # points squared

# A column that colours the cells: its name, its groups' names and colours, and each cell's group,
# -1 of none.
Column = tuple[str, Sequence[str], np.ndarray, np.ndarray]


def columns_of(
    obs: pd.DataFrame, colours: Mapping[str, Sequence[str]], names: Mapping[str, str]
) -> list[Column]:
    """Columns of a table of cells as they are drawn.

    Parameters
    ----------
    obs : DataFrame
        The cells; the columns are categories.
    colours : mapping of str to sequence of str
        By column: one for each category.
    names : mapping of str to str
        The columns to draw, and what they are called.
    """
    return [
        (
            called,
            list(map(str, obs[name].cat.categories)),
            np.array([to_rgb(colour) for colour in colours[name]]).reshape(-1, 3),
            obs[name].cat.codes.to_numpy(),
        )
        for name, called in names.items()
    ]


def plot_no_umap(layer: int, reason: str) -> Figure:
    """Say in the picture's place why there is none."""
    figure = new_figure(6.0, 1.2)
    axes = figure.add_subplot()
    hide_frame(axes)
    axes.text(0, 0.5, f"No UMAP: {reason}.", va="center", fontsize=9, wrap=True)
    draw_title(figure, f"Layer {layer}: the cells by their usage")
    return figure


def plot_umap(
    places: np.ndarray,
    columns: Sequence[Column],
    *,
    layer: int,
    drawn: str,
    rng: np.random.Generator,
) -> Figure:
    """Draw the cells once for each column that colours them.

    Parameters
    ----------
    places : ndarray, (n, 2)
        Of the cells that are drawn.
    columns : sequence of Column
        Of these cells.
    layer : int
        For the title.
    drawn : str
        Which cells they are.
    rng : numpy.random.Generator
        Draws the order in which dots lie on each other, so that no group hides the others.

    Returns
    -------
    Figure
        Not yet saved.
    """
    legends = [_legend(column) for column in columns]
    widths = [SIDE + legend_inches([each]) for each in legends]
    across = min(len(columns), 2)
    rows = -(-len(columns) // across)
    of_column = [max(widths[i::across]) for i in range(across)]
    title = f"Layer {layer}: UMAP of the cells' usage\n{drawn}"
    tall = max([SIDE, *(legend_tall([each]) for each in legends)])
    figure = new_figure(max(sum(of_column), title_inches(title)), rows * (tall + 0.35) + 0.6)
    grid = figure.add_gridspec(rows, across, width_ratios=of_column)
    order = rng.permutation(len(places))
    for number, (column, legend) in enumerate(zip(columns, legends, strict=True)):
        name, groups, colours, codes = column
        axes = figure.add_subplot(grid[number // across, number % across])
        _plane(axes)
        paint = np.where((codes >= 0)[:, None], colours[codes], 0.85)
        _dots(axes, places[order], paint[order])
        if len(groups) <= FEW:
            _name_groups(axes, places, codes, told_apart(groups, 18))
        verbatim([axes.set_title(short(name), fontsize=9, loc="left")])
        legend_of(axes, [("", legend[1])], loc="center left", bbox_to_anchor=(1.0, 0.5))
    draw_title(figure, title)
    return figure


def plot_umap_programs(
    places: np.ndarray,
    shares: np.ndarray,
    programs: Programs,
    *,
    layer: int,
    drawn: str,
    limit: float,
) -> Figure:
    """Draw the cells once for each program, coloured by how much of it they use.

    Parameters
    ----------
    places : ndarray, (n, 2)
        Of the cells that are drawn.
    shares : ndarray, (n, k)
        Percent of each cell's fitted expression.
    programs : Programs
        In the order of the tree.
    layer : int
        For the title.
    drawn : str
        Which cells they are.
    limit : float
        End of the colours, percent.

    Returns
    -------
    Figure
        Not yet saved.
    """
    count = len(programs.order)
    across = min(count, 5 if count <= 25 else 8)
    rows = -(-count // across)
    title = f"Layer {layer}: usage of each program\n{drawn}"
    width = max(across * (SMALL + 0.1) + 0.9, title_inches(title))
    figure = new_figure(width, rows * (SMALL + 0.3) + 0.7)
    grid = panels(figure, programs, across, size=7)
    for axes, k in zip(grid.ravel(), programs.order, strict=False):
        _plane(axes)
        highest_last = np.argsort(shares[:, k], kind="stable")
        dots = axes.scatter(
            *places[highest_last].T,
            c=shares[highest_last, k],
            s=_dot(len(places)) / 3,
            cmap=COLOUR_MAP,
            vmin=0,
            vmax=limit,
            linewidths=0,
            rasterized=True,
        )
    bar = figure.colorbar(dots, ax=grid, extend="max", shrink=min(1.0, 3.0 / (rows * SMALL)))
    bar.set_label("share of the cell's\nfitted expression (%)", fontsize=8)
    draw_title(figure, title)
    return figure


def _legend(column: Column) -> Section:
    name, groups, colours, codes = column
    counts = np.bincount(codes[codes >= 0], minlength=len(groups))
    shown = zip(entries(list(groups)), colours, counts, strict=True)
    return name, [
        Line2D([], [], linestyle="", marker="o", markersize=5, color=colour,
               label=f"{entry} ({cells:,})")
        for entry, colour, cells in shown if cells
    ]  # fmt: skip


def _plane(axes: Axes) -> None:
    """Neither axis of a UMAP means anything by itself."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_aspect("equal", adjustable="datalim")
    for spine in axes.spines.values():
        spine.set_color("0.85")


def _dot(cells: int) -> float:
    """Points squared of a dot."""
    return float(np.clip(20_000 / max(cells, 1), SMALLEST_DOT, LARGEST_DOT))


def _dots(axes: Axes, places: np.ndarray, paint: np.ndarray) -> None:
    # Rasterized: of fifty thousand dots a PDF's viewer draws for minutes.
    axes.scatter(
        places[:, 0], places[:, 1], c=paint, s=_dot(len(places)), linewidths=0, rasterized=True
    )


def _name_groups(axes: Axes, places: np.ndarray, codes: np.ndarray, names: Sequence[str]) -> None:
    """Write a group's name at that of its cells which lies nearest to their middle.

    Larger groups first; a name that would lie on another one stands in the legend alone.
    """
    letter = np.ptp(places, axis=0).max() / (SIDE * 72) * 7  # how long seven points are
    taken: list[tuple[float, float, float]] = []
    counts = np.bincount(codes[codes >= 0], minlength=len(names))
    for code in np.argsort(-counts, kind="stable")[: np.count_nonzero(counts)]:
        name, there = names[code], places[codes == code]
        middle = np.median(there, axis=0)
        x, y = there[np.square(there - middle).sum(axis=1).argmin()]
        half = len(name) * LETTER * letter / 2
        if any(abs(x - a) < half + b and abs(y - c) < 1.3 * letter for a, b, c in taken):
            continue
        taken.append((x, half, y))
        text = axes.text(x, y, name, fontsize=7, ha="center", va="center", zorder=5)
        text.set_path_effects([withStroke(linewidth=2.2, foreground="white")])
        verbatim([text])
