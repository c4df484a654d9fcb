"""What all figures share: names, colours, axes."""

from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

COLOUR_MAP = "magma_r"  # uniform to the eye, prints in grey, pale where there is nothing
DEAD_COLOUR = "0.55"
FAINT = "0.35"


def new_figure(width: float, height: float) -> Figure:
    """Make an empty figure of width x height inches that pyplot does not know."""
    margins = ConstrainedLayoutEngine(w_pad=0.03, h_pad=0.03, wspace=0.01, hspace=0.01)
    return Figure(figsize=(width, height), layout=margins)


def program_names(dead: np.ndarray) -> list[str]:
    """P1 ... Pk, from what is dead, (k,) bool; a dead program says so."""
    return [f"P{i + 1} (dead)" if off else f"P{i + 1}" for i, off in enumerate(dead)]


def name_programs(
    axes: Axes,
    order: np.ndarray,
    dead: np.ndarray,
    *,
    axis: Literal["x", "y"] = "x",
    room: float,
) -> None:
    """Label an axis with programs, as large as the room allows.

    Parameters
    ----------
    axes : Axes
        One row or column a program.
    order : ndarray of int, (n,)
        The programs along the axis.
    dead : ndarray of bool, (k,)
        Of all programs; dead ones are grey.
    axis : {"x", "y"}
        Which one.
    room : float
        Inches a program.
    """
    names = program_names(dead)
    size = font_size(room)
    positions = np.arange(len(order))
    upright = axis == "x" and (np.any(dead) or room < 0.34)
    labels = [names[program] for program in order]
    if axis == "x":
        axes.set_xticks(positions, labels, fontsize=size, rotation=90 if upright else 0)
    else:
        axes.set_yticks(positions, labels, fontsize=size)
    ticks = (axes.xaxis if axis == "x" else axes.yaxis).get_major_ticks()
    for tick, program in zip(ticks, order, strict=True):
        if dead[program]:
            tick.label1.set_color(DEAD_COLOUR)
            tick.label2.set_color(DEAD_COLOUR)
    axes.tick_params(axis=axis, length=0, pad=2)


def font_size(room: float, *, largest: float = 9.0, smallest: float = 3.0) -> float:
    """Size in points of a line of text that has `room` inches."""
    return float(np.clip(room * 72 * 0.82, smallest, largest))


def hide_frame(axes: Axes) -> None:
    """Leave only what is drawn in the axes."""
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


def row_percent(matrix: np.ndarray) -> np.ndarray:
    """Scale each row to percent of its sum; a row of zeros stays so."""
    totals = matrix.sum(axis=1, keepdims=True)
    return 100 * matrix / np.where(totals > 0, totals, 1)
