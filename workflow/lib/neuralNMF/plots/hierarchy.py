"""Picture of the hierarchy: how the programs of one layer are made up of the next one's."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from neuralNMF.plots.style import (
    COLOUR_MAP,
    DEAD_COLOUR,
    font_size,
    hide_frame,
    name_programs,
    new_figure,
    row_percent,
)

NUMBERS = 1000  # entries of a composition up to which their values are written in


def plot_hierarchy(
    theta: np.ndarray,
    *,
    layer: int,
    fine_dead: np.ndarray | None = None,
    dead: np.ndarray | None = None,
    fine_usage: np.ndarray | None = None,
) -> Figure:
    """How each program of layer - 1 (rows) is made up of programs of `layer` (columns).

    Parameters
    ----------
    theta
        Theta_l (k_{l-1}, k_l); rows sum to about 1 and are drawn as percent of their sum.
    layer
        Number l of the coarser of the two layers, from 2.
    fine_dead, dead
        (k_{l-1},) and (k_l,) bool, programs that no cell uses; by default none.
    fine_usage
        U_{l-1} (N, k_{l-1}); each program's share of its sum over the cells is drawn as a bar.
    """
    fine, coarse = theta.shape
    fine_dead = np.zeros(fine, dtype=bool) if fine_dead is None else fine_dead
    dead = np.zeros(coarse, dtype=bool) if dead is None else dead
    percent = row_percent(np.asarray(theta, dtype=np.float64))
    # Below the coarse program that a fine one has most of, the purest first; dead ones last.
    order = np.lexsort((-percent.max(axis=1), percent.argmax(axis=1), fine_dead))

    wide = float(np.clip(9.0 / coarse, 0.18, 0.5))
    tall = float(np.clip(11.0 / fine, 0.14, 0.27))
    width, height = wide * coarse, tall * fine
    figure = new_figure(max(width + 3.4, 5.2), max(height, 1.2) + 1.3)
    grid = figure.add_gridspec(1, 3, width_ratios=[width, 1.3, 0.18])
    heat = figure.add_subplot(grid[0, 0])
    image = heat.imshow(percent[order], aspect="auto", cmap=COLOUR_MAP, vmin=0, vmax=100)
    name_programs(heat, np.arange(coarse), dead, room=wide)
    name_programs(heat, order, fine_dead, axis="y", room=tall)
    heat.set_xlabel(f"coarse programs (layer {layer})")
    heat.set_ylabel(f"fine programs (layer {layer - 1})")
    if percent.size <= NUMBERS:
        _write_numbers(heat, percent[order], min(font_size(tall), font_size(wide * 0.55)))

    bars = figure.add_subplot(grid[0, 1], sharey=heat)
    bars.tick_params(axis="y", labelleft=False, length=0)
    for side in ("top", "right"):
        bars.spines[side].set_visible(False)
    if fine_usage is None:
        hide_frame(bars)
    else:
        totals = fine_usage.sum(axis=0, dtype=np.float64)
        share = 100 * totals / max(totals.sum(), np.finfo(float).tiny)
        bars.barh(np.arange(fine), share[order], color=DEAD_COLOUR, height=0.7)
        bars.set_xlabel("share of all cells'\nexpression (%)", fontsize=8)
        bars.tick_params(axis="x", labelsize=8)
    bar = figure.colorbar(image, cax=figure.add_subplot(grid[0, 2]))
    bar.set_label("share of the fine program (%)")
    figure.suptitle(f"Layer {layer - 1} programs as made up of layer {layer} programs", fontsize=11)
    return figure


def _write_numbers(axes: Axes, percent: np.ndarray, size: float) -> None:
    """Values from 5 % on; below, the colour is enough and numbers would hide the pattern."""
    for (row, column), value in np.ndenumerate(percent):
        if value >= 5:
            colour = "white" if value > 55 else "black"
            axes.text(
                column, row, f"{value:.0f}", ha="center", va="center", color=colour, fontsize=size
            )
