"""Labels of cells in pictures: their colours beside the cells, and the legend."""

import textwrap

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from neuralNMF.colours import label_colours
from neuralNMF.labels import Labels
from neuralNMF.plots.style import LETTER, drawable, hide_frame, short, verbatim

LINE = 36  # letters in a line of the legend
MANY = 16  # labels from which each has one line


def legend_inches(labels: Labels) -> float:
    """How wide the legend is."""
    lines = [line for entry in _entries(labels) for line in entry.split("\n")]
    letters = max(len(labels.name) * 9 / 8, *(len(line) + 8 for line in lines))
    return 0.4 + letters * LETTER * _legend_size(labels) / 72


def draw_labels(figure: Figure, strip: Axes, labels: Labels, order: np.ndarray) -> None:
    """Colour the cells by their labels in an axes beside them, with a legend of the figure.

    Parameters
    ----------
    figure : Figure
        Gets the legend, at its right.
    strip : Axes
        Empty.
    labels : Labels
        Of the n cells.
    order : ndarray of int, (n,)
        The cells, first to last.
    """
    hide_frame(strip)
    colours = label_colours(labels.names)
    strip.imshow(colours[labels.codes[order]][:, None, :], aspect="auto", interpolation="none")
    counts = np.bincount(labels.codes, minlength=len(labels.names))
    handles = [
        Patch(color=colour, label=f"{entry} ({count:,})")
        for entry, colour, count in zip(_entries(labels), colours, counts, strict=True)
        if count
    ]
    legend = figure.legend(
        handles=handles,
        title=short(labels.name),
        loc="outside right upper",
        fontsize=_legend_size(labels),
        title_fontsize=9,
        frameon=False,
    )
    verbatim([*legend.get_texts(), legend.get_title()])


def _legend_size(labels: Labels) -> float:
    """Points of the letters."""
    return 8.0 if len(labels.names) <= MANY else 6.5


def _entries(labels: Labels) -> list[str]:
    """The names as the legend has them: in two lines of a few labels, in one of many.

    What is too long loses its middle, since names often differ in their ends.
    """
    many = len(labels.names) > MANY
    longest = LINE if many else 2 * LINE - 4
    entries = []
    for name in map(drawable, labels.names):
        if len(name) > longest:
            name = f"{name[: longest // 2]}…{name[-(longest - longest // 2) + 1 :]}"
        lines = [name] if many else textwrap.wrap(name, LINE) or [name]
        entries.append("\n".join(lines))
    return entries
