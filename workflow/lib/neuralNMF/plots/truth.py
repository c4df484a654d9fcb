"""Picture of what was found beside the programs that simulated counts were drawn from."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from neuralNMF.plots.style import COLOUR_MAP, draw_title, font_size, new_figure, title_inches

WHAT = {"cosine": "programs: cosine", "correlation": "usage: correlation"}


def plot_truth(table: pd.DataFrame) -> Figure:
    """Draw how alike each found program of each layer is to each true one.

    Parameters
    ----------
    table : DataFrame
        The second of `neuralNMF.evidence.truth.compare_with_truth`.

    Returns
    -------
    Figure
        Not yet saved; a layer is a row: programs at the left, usage at the right. A match lies on
        the diagonal.
    """
    layers = sorted(table["layer"].unique())
    true = table["true_program"].nunique()
    counts = [table.loc[table["layer"] == layer, "program"].nunique() for layer in layers]
    wide = float(np.clip(6.0 / max(counts), 0.1, 0.3))
    tall = float(np.clip(6.0 / true, 0.1, 0.24))
    title = "Found programs beside the true ones of the simulation"
    figure = new_figure(
        max(2 * (wide * max(counts) + 0.9) + 1.0, title_inches(title)),
        len(layers) * (tall * true + 0.75) + 0.6,
    )
    grid = figure.subplots(len(layers), 2, squeeze=False)
    for row, layer in zip(grid, layers, strict=True):
        of_layer = table[table["layer"] == layer]
        found = list(dict.fromkeys(of_layer["program"]))
        names = list(dict.fromkeys(of_layer["true_program"]))
        for axes, (column, label) in zip(row, WHAT.items(), strict=True):
            values = of_layer.pivot(index="true_program", columns="program", values=column)
            image = axes.imshow(
                values.loc[names, found], aspect="auto", cmap=COLOUR_MAP, vmin=0, vmax=1
            )
            size = font_size(min(wide, tall) * 0.9, largest=7)
            axes.set_xticks(np.arange(len(found)), found, fontsize=size, rotation=90)
            axes.set_yticks(np.arange(true), names, fontsize=size)
            axes.tick_params(length=0, pad=2)
            axes.set_title(f"layer {layer}, {label}", fontsize=8, loc="left")
        row[0].set_ylabel("true programs", fontsize=8)
    for axes in grid[-1]:
        axes.set_xlabel("found programs", fontsize=8)
    figure.colorbar(image, ax=grid, shrink=0.8, aspect=30)
    draw_title(figure, title)
    return figure
