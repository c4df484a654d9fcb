"""Picture of the sizes that were tried for a model whose layers are chosen by the data."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from neuralNMF.errors import InputError
from neuralNMF.plots.frames import open_frame
from neuralNMF.plots.style import BLUE, FAINT, ORANGE, draw_title, new_figure


def plot_sizes(tried: pd.DataFrame) -> Figure:
    """Draw how many programs are found again, and what speaks for a size, of each layer.

    For a size of layer 1 speaks the held-out error; for one of a further layer, how much more it
    costs to put two more programs together.

    Parameters
    ----------
    tried : DataFrame
        A row a size, as `neuralNMF.sizes.choose.choose_layers` gives it: ``layer``, ``size``,
        ``programs``, ``replicated``, ``held_out``, ``held_out_1`` ..., ``gap``, ``chosen``.

    Returns
    -------
    Figure
        Not yet saved.

    Raises
    ------
    InputError
        Nothing was tried.
    """
    if tried.empty:
        raise InputError("There are no sizes to draw: none was tried.")
    if "gap" not in tried:  # a table of an earlier version
        tried = tried.assign(gap=float("nan"))
    layers = sorted(tried["layer"].unique())
    figure = new_figure(0.6 + 3.4 * len(layers), 5.2)
    axes = figure.subplots(2, len(layers), squeeze=False, sharex="col")
    for column, layer in enumerate(layers):
        rows = tried[tried["layer"] == layer].sort_values("size")
        _found_again(axes[0, column], rows)
        axes[0, column].set_title(f"layer {layer}", fontsize=9, loc="left")
        if layer == 1:
            _held_out(axes[1, column], rows)
        else:
            _gap(axes[1, column], rows)
        axes[1, column].set_xlabel("programs asked for")
        axes[1, column].xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        # A single size would otherwise be drawn among fractions of a program.
        axes[1, column].set_xlim(rows["size"].min() - 0.6, rows["size"].max() + 0.6)
        for panel in axes[:, column]:
            for size in rows.loc[rows["chosen"].astype(bool), "size"]:
                panel.axvline(size, color=FAINT, linewidth=0.9, linestyle="--")
    figure.legend(
        *axes[0, 0].get_legend_handles_labels(),
        loc="outside lower center",
        ncols=3,
        fontsize=8,
        frameon=False,
    )
    draw_title(figure, "Sizes that were tried (dashed: chosen)")
    return figure


def _found_again(axes: Axes, rows: pd.DataFrame) -> None:
    axes.plot(rows["size"], rows["size"], color="0.85", linewidth=1, label="as many as asked for")
    rows = rows[rows["status"] != "not tried"]
    found = rows["programs"] * rows["replicated"]
    axes.plot(
        rows["size"], rows["programs"], color=ORANGE, marker="o", markersize=4, label="programs"
    )
    axes.plot(rows["size"], found, color=BLUE, marker="o", markersize=4, label="found again")
    axes.set_ylabel("programs")
    axes.set_ylim(bottom=0)
    open_frame(axes)


def _held_out(axes: Axes, rows: pd.DataFrame) -> None:
    for name in sorted(name for name in rows if name.startswith("held_out_")):
        axes.plot(rows["size"], rows[name], color="0.8", linewidth=0.8)
    axes.plot(rows["size"], rows["held_out"], color=BLUE, marker="o", markersize=4)
    axes.set_ylabel("error on held-out counts\n(a single program: 1)")
    open_frame(axes)


def _gap(axes: Axes, rows: pd.DataFrame) -> None:
    axes.plot(rows["size"], rows["gap"], color=BLUE, marker="o", markersize=4)
    axes.axhline(1.0, color="0.85", linewidth=1)
    axes.set_ylabel("cost of the next merge\n(the last one: 1)")
    axes.set_ylim(0, 1.1 * max(1.0, rows["gap"].max()))  # the highest marker is whole
    open_frame(axes)
