"""Picture of the hierarchy: how the programs of one layer are made up of the next one's."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from neuralNMF.plots.style import (
    COLOUR_MAP,
    GREY,
    Programs,
    draw_title,
    font_size,
    hide_frame,
    name_programs,
    new_figure,
    plain_programs,
    row_percent,
)

NUMBERS = 1000  # entries of a composition up to which their values are written in
BARS = 1.3  # inches


def plot_hierarchy(
    theta: np.ndarray,
    *,
    layer: int,
    fine: Programs | None = None,
    coarse: Programs | None = None,
    fine_usage: np.ndarray | None = None,
) -> Figure:
    """How each program of layer - 1 (rows) is made up of programs of `layer` (columns).

    Parameters
    ----------
    theta : ndarray, (k_{l-1}, k_l)
        Theta_l; rows sum to about 1 and are drawn as percent of their sum.
    layer : int
        Number l of the coarser of the two layers, from 2.
    fine, coarse : Programs or None
        Of layers l - 1 and l, in the order of the tree; None: as they are.
    fine_usage : ndarray or None, (N, k_{l-1})
        U_{l-1}; each program's share of its sum over the cells is drawn as a bar.

    Returns
    -------
    Figure
        Not yet saved.
    """
    rows, columns = theta.shape
    fine = plain_programs(np.zeros(rows, dtype=bool)) if fine is None else fine
    coarse = plain_programs(np.zeros(columns, dtype=bool)) if coarse is None else coarse
    percent = row_percent(np.asarray(theta, dtype=np.float64))
    percent = percent[np.ix_(fine.order, coarse.order)]

    wide = float(np.clip(12.0 / columns, 0.18, 0.5))
    tall = float(np.clip(14.0 / rows, 0.14, 0.27))
    width, height = max(wide * columns, 1.0), tall * rows
    figure = new_figure(
        max(width + BARS + fine.inches() + 1.3, 5.2), max(height, 1.2) + coarse.inches() + 1.0
    )
    grid = figure.add_gridspec(1, 3, width_ratios=[width, BARS, 0.18])
    heat = figure.add_subplot(grid[0, 0])
    image = heat.imshow(percent, aspect="auto", cmap=COLOUR_MAP, vmin=0, vmax=100)
    name_programs(heat, coarse, room=width / columns)
    name_programs(heat, fine, axis="y", room=tall)
    heat.set_xlabel(f"coarse programs (layer {layer})")
    heat.set_ylabel(f"fine programs (layer {layer - 1})")
    if percent.size <= NUMBERS:
        _write_numbers(heat, percent, min(font_size(tall), font_size(wide * 0.55)))

    bars = figure.add_subplot(grid[0, 1], sharey=heat)
    bars.tick_params(axis="y", labelleft=False, length=0)
    for side in ("top", "right"):
        bars.spines[side].set_visible(False)
    if fine_usage is None:
        hide_frame(bars)
    else:
        totals = fine_usage.sum(axis=0, dtype=np.float64)
        share = 100 * totals / max(totals.sum(), np.finfo(float).tiny)
        bars.barh(np.arange(rows), share[fine.order], color=GREY, height=0.7)
        bars.set_xlabel("share of all cells'\nexpression (%)", fontsize=8)
        bars.tick_params(axis="x", labelsize=8)
    bar = figure.colorbar(image, cax=figure.add_subplot(grid[0, 2]))
    bar.set_label("share of the fine program (%)")
    title = f"Layer {layer - 1} programs as made up of layer {layer} programs"
    draw_title(figure, title)
    return figure


def hierarchy_table(theta: np.ndarray, fine: Programs, coarse: Programs) -> pd.DataFrame:
    """What `plot_hierarchy` draws, in percent: a row a fine program, a column a coarse one."""
    percent = row_percent(np.asarray(theta, dtype=np.float64))
    names = pd.Series([fine.names[k] for k in fine.order], name="program")
    parts = {coarse.names[k]: percent[fine.order, k] for k in coarse.order}
    return pd.DataFrame({"program": names, **parts})


def _write_numbers(axes: Axes, percent: np.ndarray, size: float) -> None:
    """Values from 5 % on; below, the colour is enough and numbers would hide the pattern."""
    for (row, column), value in np.ndenumerate(percent):
        if value >= 5:
            colour = "white" if value > 55 else "black"
            axes.text(
                column, row, f"{value:.0f}", ha="center", va="center", color=colour, fontsize=size
            )
