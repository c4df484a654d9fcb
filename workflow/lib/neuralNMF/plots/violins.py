"""Violins: how the cells of each group use each program."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure

from neuralNMF.plots.frames import open_frame, panels
from neuralNMF.plots.labels import Coloured, told_apart
from neuralNMF.plots.style import (
    LETTER,
    Programs,
    draw_title,
    new_figure,
    short,
    title_inches,
    verbatim,
)

PANEL = 0.95  # inches high
QUANTILES = {"least": 0.0, "quarter": 0.25, "median": 0.5, "three_quarters": 0.75, "most": 1.0}
STEPS, HALF = 60, 0.45  # points of a violin's side, and its half width
FEWEST = 5  # cells of a violin; fewer are dots


def violins_table(shares: np.ndarray, programs: Programs, column: Coloured) -> pd.DataFrame:
    """Figures of what is drawn: a row a program and group, in the order of the picture.

    Parameters
    ----------
    shares : ndarray, (n, k)
        Percent of each cell's fitted expression.
    programs : Programs
        In the order of the tree.
    column : Coloured
        The groups of the n cells.

    Returns
    -------
    DataFrame
        ``program``, ``group``, ``cells``, then of the cells' percent ``mean``, ``least``,
        ``quarter``, ``median``, ``three_quarters``, ``most``.
    """
    rows = []
    for k in programs.order:
        for code, name in enumerate(column.labels.names):
            values = shares[column.labels.codes == code, k].astype(np.float64)
            if len(values):
                figures = np.quantile(values, list(QUANTILES.values()))
                rows.append(
                    {
                        "program": programs.names[k],
                        "group": name,
                        "cells": len(values),
                        "mean": values.mean(),
                        **dict(zip(QUANTILES, figures, strict=True)),
                    }
                )
    return pd.DataFrame(rows)


def plot_violins(
    shares: np.ndarray, programs: Programs, column: Coloured, *, layer: int, drawn: str
) -> Figure:
    """Draw a panel for each program, with a violin for each group of cells.

    Parameters
    ----------
    shares : ndarray, (n, k)
        Percent of each cell's fitted expression.
    programs : Programs
        In the order of the tree.
    column : Coloured
        The groups of the n cells.
    layer : int
        For the title.
    drawn : str
        Which cells they are.

    Returns
    -------
    Figure
        Not yet saved.
    """
    codes = column.labels.codes
    groups = np.flatnonzero(np.bincount(codes, minlength=len(column.labels.names)))
    names = told_apart([column.labels.names[code] for code in groups], 24)
    count = len(programs.order)
    wide = float(np.clip(0.26 * len(groups), 1.6, 9.0))
    across = int(np.clip(14 // (wide + 0.5), 1, min(count, 4)))
    rows = -(-count // across)
    below = max(map(len, names)) * LETTER * 7 / 72
    title = f"Layer {layer}: usage of each program by {short(column.labels.name)}\n{drawn}"
    figure = new_figure(
        max(across * (wide + 0.55) + 0.3, title_inches(title)),
        rows * (PANEL + 0.28) + below + 0.8,
    )
    grid = panels(figure, programs, across, size=7.5, sharex=True)
    places = list(range(len(groups)))
    for axes in grid[-1]:  # where a column's last panel is empty, its names stand all the same
        axes.set_xticks(places, names, fontsize=7, rotation=90)
        verbatim(axes.get_xticklabels())
    for axes, k in zip(grid.ravel(), programs.order, strict=False):
        _draw_groups(axes, [shares[codes == code, k] for code in groups], column.colours[groups])
        axes.set_ylim(0, max(1.05 * float(shares[:, k].max()), 1.0))
        axes.set_xlim(-0.7, len(groups) - 0.3)
        axes.tick_params(axis="y", labelsize=7, pad=1)
        axes.tick_params(axis="x", length=0)
        open_frame(axes, lines=False)
    figure.supylabel("share of the cell's fitted expression (%)", fontsize=8)
    draw_title(figure, title)
    return figure


def _draw_groups(axes: Axes, groups: Sequence[np.ndarray], colours: np.ndarray) -> None:
    """A violin with its median for each group; of few cells, or of cells all alike, dots."""
    outlines, painted, medians, dots = [], [], [], []
    for place, (values, colour) in enumerate(zip(groups, colours, strict=True)):
        if len(values) < FEWEST or np.ptp(values) < 1e-9:
            dots += [(place, value, colour) for value in np.unique(values)]
        else:
            outlines.append(_outline(values.astype(np.float64), place))
            painted.append(colour)
            medians.append((place, np.median(values)))
    if outlines:
        bodies = PolyCollection(outlines, facecolors=painted, edgecolors="0.25", linewidths=0.4)
        axes.add_collection(bodies)
        x, y = zip(*medians, strict=True)
        axes.scatter(x, y, s=7, color="white", edgecolors="0.1", linewidths=0.5, zorder=3)
    if dots:
        x, y, paint = zip(*dots, strict=True)
        axes.scatter(x, y, s=5, c=np.array(paint), linewidths=0)


def _outline(values: np.ndarray, place: float) -> np.ndarray:
    """The shape of a violin: a Gaussian kernel's density (Silverman's width) from least to most."""
    spread = min(values.std(), np.subtract(*np.quantile(values, [0.75, 0.25])) / 1.34 or np.inf)
    width = 0.9 * spread * len(values) ** -0.2
    at = np.linspace(values.min(), values.max(), STEPS)
    density = np.exp(-0.5 * np.square((at[:, None] - values) / width)).sum(axis=1)
    half = HALF * density / density.max()
    right = np.column_stack([place + half, at])
    left = np.column_stack([place - half, at])
    return np.concatenate([right, left[::-1]])
