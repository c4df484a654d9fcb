"""Frames that several pictures share: a grid of panels, one a program, and genes by programs."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.figure import Figure

from neuralNMF.plots.programs import PER
from neuralNMF.plots.style import (
    FAINT,
    GREY,
    Programs,
    font_size,
    hide_frame,
    name_programs,
    short,
    verbatim,
)

LONGEST_GENE = 24  # letters


def panels(
    figure: Figure, programs: Programs, across: int, *, size: float, sharex: bool = False
) -> np.ndarray:
    """A panel for each program, named above it; flagged ones in grey, what is left over empty.

    Parameters
    ----------
    figure : Figure
        Empty.
    programs : Programs
        In the order of the tree.
    across : int
        Panels in a row.
    size : float
        Of the names, points.
    sharex : bool
        Whether the panels have one x axis, that of the last row.

    Returns
    -------
    ndarray of Axes, (rows, across)
        The first of them are those of the programs.
    """
    count = len(programs.order)
    grid = figure.subplots(-(-count // across), across, squeeze=False, sharex=sharex)
    for axes in grid.ravel()[count:]:
        hide_frame(axes)
    for axes, k in zip(grid.ravel(), programs.order, strict=False):
        name = axes.set_title(short(programs.names[k]), fontsize=size, pad=2, loc="left")
        name.set_color(GREY if programs.grey[k] else "black")
        verbatim([name])
    return grid


def open_frame(axes: Axes, *, lines: bool = True) -> None:
    """Leave the left and the lower side of the frame; `lines`: across, to read heights by."""
    if lines:
        axes.grid(axis="y", color="0.9", linewidth=0.6)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def name_genes(
    axes: Axes,
    names: Sequence[str],
    owners: np.ndarray,
    programs: Programs,
    *,
    layer: int,
    tall: float,
    wide: float,
) -> None:
    """Genes in rows by programs in columns: names, and a line below each program's genes.

    Parameters
    ----------
    axes : Axes
        A row a gene, a column a program.
    names : sequence of str
        Of the genes, as `gene_names` gives them.
    owners : ndarray, as many
        The program that each gene is drawn with.
    programs : Programs
        In the order of the tree.
    layer : int
        Theirs.
    tall, wide : float
        Inches of a row and of a column.
    """
    axes.set_yticks(np.arange(len(names)), list(names), fontsize=font_size(tall, largest=8))
    verbatim(axes.get_yticklabels())
    axes.tick_params(axis="y", length=0, pad=2)
    name_programs(axes, programs, room=wide)
    for edge in np.flatnonzero(owners[1:] != owners[:-1]) + 0.5:
        axes.axhline(edge, color=FAINT, linewidth=0.5, zorder=0.8)
    axes.set_xlabel(f"programs of layer {layer}")


def gene_names(symbols: Sequence[object]) -> tuple[list[str], float]:
    """Names of genes as they are drawn, and how many inches the longest takes."""
    names = [short(str(symbol), LONGEST_GENE) for symbol in symbols]
    return names, 0.065 * max(map(len, names))


def loading_bar(
    figure: Figure, axes: Axes, drawn: ScalarMappable, limit: float, *, height: float, high: float
) -> Colorbar:
    """The colours of loadings: a bar of at most `high` inches beside a picture of `height` inches.

    A bar as long as a tall picture could not be read beside the genes.
    """
    share = min(1.0, high / height)
    bar = figure.colorbar(drawn, ax=axes, extend="max", anchor=(0, 1), shrink=share, aspect=20)
    bar.set_label(f"gene loading per {PER:,} (clipped at {limit:g})", fontsize=8)
    return bar
