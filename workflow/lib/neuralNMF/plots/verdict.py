"""Picture of what speaks for and against every program: found again, needed, carried, agreeing."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from neuralNMF.plots.style import (
    BLUE,
    FAINT,
    GREY,
    LETTER,
    ORANGE,
    draw_title,
    font_size,
    new_figure,
    short,
    verbatim,
)

TALLEST = 100.0
PANEL = 1.35  # inches
# Columns of programs.tsv, what they are called, a line to compare with, whether on a log axis.
FIGURES: Sequence[tuple[str, str, float | None, bool]] = (
    ("expression_share", "share of all\nexpression (%)", None, False),
    ("effective_cells", "effective\ncells", 10.0, True),
    ("replication", "found again in\nother cells", 0.8, False),
    ("held_out_gain", "held-out gain", 0.0, False),
    ("redundancy", "like another\n(correlation)", 0.9, False),
    ("label_average_precision", "marks its label\n(average precision)", None, False),
)


def plot_programs(table: pd.DataFrame) -> Figure:
    """Draw the figures of `programs.tsv`, a row a program and a panel a figure.

    Parameters
    ----------
    table : DataFrame
        As `neuralNMF.evidence.programs.table_of_programs` gives it; figures that it has not, or
        that are empty, have no panel.

    Returns
    -------
    Figure
        Not yet saved.
    """
    shown = [each for each in FIGURES if each[0] in table and table[each[0]].notna().any()]
    layers = table["layer"].to_numpy()
    rows = np.arange(len(table)) + 1.2 * (layers - 1)
    tall = float(np.clip(TALLEST / (rows[-1] + 1), 0.1, 0.19))
    size = font_size(tall, largest=8)
    names = [short(f"{name}", 34) for name in table["name"]]
    verdicts = [short(str(text), 44) for text in table["believe"]]
    text = (max(map(len, names)) + max(map(len, verdicts))) * LETTER * size / 72
    figure = new_figure(text + PANEL * len(shown) + 0.8, max(tall * (rows[-1] + 1), 1.2) + 1.1)
    panels = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
    doubted = ~table["believe"].astype(str).str.startswith("yes").to_numpy()
    for axes, (column, label, line, logarithmic) in zip(panels, shown, strict=True):
        values = table[column].to_numpy(dtype=float)
        values = 100 * values if column == "expression_share" else values
        _draw(axes, values, rows, doubted, line)
        if logarithmic:
            axes.set_xscale("log")
        axes.set_xlabel(label, fontsize=8)
        axes.tick_params(axis="x", labelsize=7)
    first, last = panels[0], panels[-1]
    first.set_ylim(rows[-1] + 0.7, -1.2)
    first.set_yticks(rows, names, fontsize=size)
    first.tick_params(axis="y", length=0)
    verbatim(first.get_yticklabels())
    for layer in np.unique(layers):
        above = rows[layers == layer][0] - 0.75
        place = first.get_yaxis_transform()
        first.text(-0.02, above, f"layer {layer}", transform=place, ha="right", va="center",
                   fontsize=min(size, 7), color=FAINT)  # fmt: skip
    beside = last.secondary_yaxis("right")
    beside.set_yticks(rows, verdicts, fontsize=size)
    beside.tick_params(length=0)
    beside.spines["right"].set_visible(False)
    verbatim(beside.get_yticklabels())
    for tick, doubt in zip(first.get_yticklabels(), doubted, strict=True):
        tick.set_color(GREY if doubt else "black")
    draw_title(figure, "What speaks for and against each program (orange: doubtful)")
    return figure


def _draw(
    axes: Axes, values: np.ndarray, rows: np.ndarray, doubted: np.ndarray, line: float | None
) -> None:
    if line is not None:
        axes.axvline(line, color=FAINT, linewidth=0.8, linestyle="--")
    axes.scatter(values, rows, s=16, c=np.where(doubted, ORANGE, BLUE), linewidths=0, zorder=3)
    axes.grid(axis="y", color="0.92", linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(axis="y", length=0)
