"""Picture of the cells' usage of the programs.

N cells, k_l programs of layer l. Usage U_l (N, k_l) carries each cell's expression per program
(the rows of beta sum to 1), so its row shares are shares of the cell's fitted expression.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from neuralNMF.evidence.main_program import NO_PROGRAM, main_programs
from neuralNMF.plots.cells import DrawnCells
from neuralNMF.plots.labels import BAR, Coloured, draw_bar, legend_inches, legend_of
from neuralNMF.plots.style import (
    COLOUR_MAP,
    FAINT,
    Programs,
    draw_title,
    grey_columns,
    hide_frame,
    name_programs,
    new_figure,
    plain_programs,
    short,
    title_inches,
    verbatim,
)

TALL = 6.3  # inches of the cells
LINES = 900  # lines of pixels that this is worth
BRACKET = 0.3  # inches of a coarser layer's row above the cells


def plot_theta(
    cells: DrawnCells,
    layer: int,
    *,
    programs: Programs,
    parents: Sequence[tuple[Programs, np.ndarray]] = (),
) -> Figure:
    """How the cells use the programs of one layer, with the colour scale that all layers share.

    Parameters
    ----------
    cells : DrawnCells
        Their shares and labels.
    layer : int
        Number of the layer to draw, from 1.
    programs : Programs
        The layer's.
    parents : sequence of (Programs, ndarray of int (k_l,))
        Of each coarser layer, from the nearest: its programs, and which of them each program of
        the layer is part of (-1: of none).

    Returns
    -------
    Figure
        Not yet saved.
    """
    return plot_usage(
        cells.shares[layer - 1],
        layer=layer,
        programs=programs,
        parents=parents,
        columns=cells.columns,
        drawn=cells.words,
        limit=common_limit(cells.shares),
    )


def theta_table(cells: DrawnCells, layer: int, programs: Programs, names: pd.Index) -> pd.DataFrame:
    """What `plot_theta` draws: a row a cell, in its order.

    Parameters
    ----------
    cells : DrawnCells
        The same as the picture's.
    layer : int
        From 1.
    programs : Programs
        The layer's.
    names : Index of str, (N,)
        Of all cells.

    Returns
    -------
    DataFrame
        ``cell``, the columns of labels, then the percent of the cell's fitted expression by each
        program, in the order of the tree.
    """
    shares = cells.shares[layer - 1]
    rows = order_cells(shares, programs)
    labels = {
        column.labels.name: np.asarray(column.labels.names, dtype=object)[column.labels.codes[rows]]
        for column in cells.columns
    }
    parts = {programs.names[k]: shares[rows, k] for k in programs.order}
    return pd.DataFrame({"cell": names[cells.numbers[rows]], **labels, **parts})


def common_limit(shares: Sequence[np.ndarray]) -> float:
    """One upper end of the colour scale for all layers, in percent.

    The 99.5th percentile of the layer in which that is highest, rounded up to 5.
    """
    highest = max(np.percentile(share, 99.5) for share in shares)
    return float(np.clip(5 * np.ceil(highest / 5), 5, 100))


def order_cells(shares: np.ndarray, programs: Programs) -> np.ndarray:
    """Order cells by their main program (`main_programs`), and by how much they have of it.

    Parameters
    ----------
    shares : ndarray, (n, k)
        Percent of each cell's expression.
    programs : Programs
        In the order of which their cells follow.

    Returns
    -------
    ndarray of int, (n,)
        The cells, first to last.
    """
    main, excess = main_programs(shares, programs.order, programs.grey)
    place = np.empty(len(programs.order) + 1, dtype=int)
    place[programs.order] = np.arange(len(programs.order))
    place[NO_PROGRAM] = len(programs.order)  # cells without any stand last
    return np.lexsort((-excess, place[main]))


def plot_usage(
    shares: np.ndarray,
    *,
    layer: int,
    programs: Programs | None = None,
    parents: Sequence[tuple[Programs, np.ndarray]] = (),
    columns: Sequence[Coloured] = (),
    drawn: str | None = None,
    limit: float | None = None,
) -> Figure:
    """Heat map, cells x programs, both in the order of the tree.

    Parameters
    ----------
    shares : ndarray, (n, k)
        Percent of each cell's expression.
    layer : int
        Number of the layer, for the words.
    programs : Programs or None
        None: P1 ... Pk as they are.
    parents : sequence of (Programs, ndarray of int (k,))
        As in `plot_theta`.
    columns : sequence of Coloured
        Labels of the n cells, a bar each.
    drawn : str or None
        Which cells they are; None: all.
    limit : float or None
        Upper end of the colour scale, percent; None: that of these cells alone.

    Returns
    -------
    Figure
        Not yet saved.
    """
    cells, count = shares.shape
    programs = plain_programs(np.zeros(count, dtype=bool)) if programs is None else programs
    limit = common_limit([shares]) if limit is None else limit
    rows = order_cells(shares, programs)
    values = _lines(shares[np.ix_(rows, programs.order)])

    room = float(np.clip(12.0 / count, 0.16, 0.42))
    wide, above = room * count, BRACKET * len(parents)
    legends = [column.legend() for column in columns]
    drawn = f"{cells:,} cells" if drawn is None else drawn
    title = f"Layer {layer}: programs used by cells\n{drawn}"
    width = max(wide + BAR * len(columns) + 1.4, title_inches(title))
    figure = new_figure(width + legend_inches(legends), TALL + above + programs.inches() + 1.0)
    grid = figure.add_gridspec(
        1 + len(parents),
        len(columns) + 2,
        width_ratios=[BAR] * len(columns) + [wide, 0.18],
        height_ratios=[BRACKET] * len(parents) + [TALL],
    )
    heat = figure.add_subplot(grid[-1, -2])
    image = heat.imshow(
        values, aspect="auto", cmap=COLOUR_MAP, vmin=0, vmax=limit, interpolation="nearest"
    )
    grey_columns(heat, values, programs.drawn_grey, limit)
    heat.set_yticks([])
    name_programs(heat, programs, room=room)
    heat.set_xlabel(f"programs of layer {layer}")
    for row, (coarse, parent) in enumerate(reversed(parents)):
        brackets = figure.add_subplot(grid[row, -2])
        _draw_brackets(brackets, coarse, parent[programs.order], room)
        above_layer = layer + len(parents) - row
        brackets.set_ylabel(
            f"layer {above_layer}", rotation=0, ha="right", va="center", fontsize=8, color=FAINT
        )
    for number, column in enumerate(columns):
        draw_bar(figure.add_subplot(grid[-1, number]), column, rows)
    legend_of(figure, legends)
    bar = figure.colorbar(image, cax=figure.add_subplot(grid[-1, -1]), extend="max")
    bar.set_label("share of the cell's fitted expression (%)")
    draw_title(figure, title)
    return figure


def _lines(values: np.ndarray) -> np.ndarray:
    """Means of neighbouring cells, where there are more than lines of pixels to draw them in."""
    cells = len(values)
    if cells <= LINES:
        return values
    borders = np.linspace(0, cells, LINES, endpoint=False).astype(int)
    sizes = np.diff([*borders, cells])
    return np.add.reduceat(values, borders, axis=0) / sizes[:, None]


def _draw_brackets(axes: Axes, coarse: Programs, parent: np.ndarray, room: float) -> None:
    """Name a coarser layer's programs above those that they are made of.

    `parent` has them in the order of drawing.
    """
    hide_frame(axes)
    axes.set_xlim(-0.5, len(parent) - 0.5)
    axes.set_ylim(0, 1)
    starts = np.flatnonzero(np.r_[True, parent[1:] != parent[:-1]])
    for start, stop in zip(starts, [*starts[1:], len(parent)], strict=True):
        if parent[start] < 0:
            continue
        axes.plot([start - 0.4, stop - 0.6], [0.1, 0.1], color=FAINT, linewidth=1.6)
        words = coarse.names[parent[start]].split(" ")
        letters = int((stop - start) * room * 72 / (7 * 0.58))
        text = " ".join(words) if len(" ".join(words)) <= letters else short(words[0], letters)
        name = axes.text(
            (start + stop - 1) / 2, 0.22, text, ha="center", va="bottom", fontsize=7, color=FAINT
        )
        verbatim([name])
