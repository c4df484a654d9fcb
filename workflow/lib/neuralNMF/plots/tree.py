"""Picture of the tree: the programs of all layers as a graph, fine ones left, coarse ones right."""

from collections.abc import Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from neuralNMF.evidence.majority import NOTHING
from neuralNMF.plots.labels import Section, entries, legend_inches, legend_of
from neuralNMF.plots.style import (
    FAINT,
    GREY,
    LETTER,
    draw_title,
    font_size,
    hide_frame,
    new_figure,
    short,
    title_inches,
    verbatim,
)
from neuralNMF.plots.tree_parts import TreeParts

LEAST = 5.0  # percent; weaker edges would hide the others
GAP = 1.9  # inches between two layers
WIDEST = 7.0  # points, of an edge of 100 %
LARGEST = 260.0  # points squared, of the largest program
POINTS_A_CURVE = 24
LONGEST = 70  # letters beside a program
TALLEST = 60.0


def plot_tree(parts: TreeParts, colours: Sequence[np.ndarray]) -> Figure:
    """Draw the programs of all layers, and which fine ones make up which coarse ones.

    An edge is as wide as the share of the fine program that is made up of the coarse one, from 5 %
    on; a node's area is the program's part of the expression, its colour the label of more than
    half of the cells whose main program it is, grey where none has. Dead programs and noise are
    grey.

    Parameters
    ----------
    parts : TreeParts
        What there is to draw.
    colours : sequence of ndarray, (k_l, 3) each
        Of the programs, where there are no labels.

    Returns
    -------
    Figure
        Not yet saved.
    """
    layers = parts.layers
    depth, rows = len(layers.programs), max(len(each.order) for each in layers.programs)
    tall = float(np.clip(TALLEST / rows, 0.12, 0.3))
    height, size = max(tall * rows, 2.2), font_size(tall, largest=8.5)
    left = _text_inches(parts, 0, size)
    right = _text_inches(parts, depth - 1, size) if depth > 1 else 0.0
    inner = GAP * (depth - 1)
    sections = _legend(parts)
    title = "Programs of all layers, and what they are made up of"
    figure = new_figure(
        max(left + inner + right + 0.6, title_inches(title)) + legend_inches(sections),
        height + 1.1,
    )
    axes = figure.add_subplot()
    hide_frame(axes)
    axes.set_xlim(-left - 0.2, inner + right + 0.2)
    axes.set_ylim(height, -0.45)
    places = _places(parts, height)
    for number in range(depth - 1):
        _draw_edges(axes, parts, number, places)
    largest = max(each.max() for each in parts.expression)
    for number in range(depth):
        axes.scatter(
            np.full(len(places[number]), GAP * number),
            places[number],
            s=np.maximum(LARGEST * parts.expression[number] / largest, 6),
            c=_node_colours(parts, number, colours[number]),
            edgecolors="0.25",
            linewidths=0.5,
            zorder=3,
        )
        _write_names(axes, parts, number, places[number], size)
        axes.text(GAP * number, -0.25, f"layer {number + 1}", ha="center", fontsize=9, color=FAINT)
    legend_of(figure, sections)
    draw_title(figure, title)
    return figure


def _places(parts: TreeParts, height: float) -> list[np.ndarray]:
    """Heights of each layer's programs: fine ones in their order, coarse ones at their middle."""
    order = parts.layers.programs[0].order
    first = np.empty(len(order))
    first[order] = (np.arange(len(order)) + 0.5) * height / len(order)
    places = [first]
    for percent, programs in zip(parts.made_of, parts.layers.programs[1:], strict=True):
        weights = percent**2  # what a program is mostly made up of draws it most
        totals = weights.sum(axis=0)
        middle = places[-1] @ weights / np.where(totals > 0, totals, 1)
        places.append(_spread(np.where(totals > 0, middle, height), programs.order, height))
    return places


def _spread(middle: np.ndarray, order: np.ndarray, height: float) -> np.ndarray:
    """Move what is too near apart; the order of the tree is kept."""
    gap = min(0.42, height / max(len(order), 1))
    wanted = np.clip(middle[order], gap / 2, height - gap / 2)
    steps = gap * np.arange(len(order))
    # Least squares with the gaps kept: isotonic regression of what is left after them.
    free = _rising(wanted - steps)
    free = np.clip(free, gap / 2, max(height - gap / 2 - steps[-1], gap / 2))
    found = np.empty(len(order))
    found[order] = free + steps
    return found


def _rising(values: np.ndarray) -> np.ndarray:
    """The nearest sequence that never falls, by pooling adjacent violators."""
    blocks: list[list[float]] = []
    for value in values:
        blocks.append([value, 1])
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            (a, m), (b, n) = blocks[-2], blocks[-1]
            blocks[-2:] = [[(a * m + b * n) / (m + n), m + n]]
    return np.concatenate([np.full(int(count), value) for value, count in blocks])


def _draw_edges(axes: Axes, parts: TreeParts, number: int, places: Sequence[np.ndarray]) -> None:
    percent = parts.made_of[number].copy()
    percent[parts.layers.evidence[number].last] = 0
    fine, coarse = np.nonzero(percent >= LEAST)
    weakest_first = np.argsort(percent[fine, coarse], kind="stable")
    fine, coarse = fine[weakest_first], coarse[weakest_first]
    t = np.linspace(0, 1, POINTS_A_CURVE)
    x = np.broadcast_to(GAP * (number + t), (len(fine), POINTS_A_CURVE))
    start, stop = places[number][fine][:, None], places[number + 1][coarse][:, None]
    lines = np.stack([x, start + (stop - start) * t * t * (3 - 2 * t)], axis=2)
    share = percent[fine, coarse] / 100
    axes.add_collection(
        LineCollection(
            list(lines),
            linewidths=WIDEST * share,
            colors=[(0.35, 0.35, 0.35, alpha) for alpha in 0.15 + 0.5 * share],
            capstyle="butt",
            zorder=1,
        )
    )


def _node_colours(parts: TreeParts, number: int, colours: np.ndarray) -> np.ndarray:
    paint = colours.copy()
    if parts.labels is not None:
        label, _ = parts.majorities[number]
        paint = np.where((label == NOTHING)[:, None], float(GREY), parts.labels.colours[label])
    paint[parts.layers.evidence[number].last] = 0.8
    return paint


def _words(parts: TreeParts, number: int, k: int) -> str:
    """What stands beside a program: all markers in the outer layers, its name in the inner ones."""
    layers, markers = parts.layers, parts.markers[number][k]
    if 0 < number < len(layers.programs) - 1 or not markers:
        return short(layers.programs[number].names[k])
    flags = ", ".join(layers.evidence[number].flags[k])
    return short(f"P{k + 1}  {markers}" + (f"  ({flags})" if flags else ""), LONGEST)


def _text_inches(parts: TreeParts, number: int, size: float) -> float:
    programs = parts.layers.programs[number]
    longest = max(len(_words(parts, number, k)) for k in range(len(programs.names)))
    return 0.3 + longest * LETTER * size / 72


def _write_names(
    axes: Axes, parts: TreeParts, number: int, places: np.ndarray, size: float
) -> None:
    """Left of the first layer, right of the last one, above those between."""
    programs, depth = parts.layers.programs[number], len(parts.layers.programs)
    inner, side = 0 < number < depth - 1, -1 if number == 0 else 1
    for k, y in enumerate(places):
        name = axes.text(
            GAP * number + (0 if inner else 0.18 * side),
            y - (0.13 if inner else 0),
            _words(parts, number, k),
            ha="center" if inner else "right" if side < 0 else "left",
            va="bottom" if inner else "center",
            fontsize=min(size, 7.0) if inner else size,
            color=GREY if programs.grey[k] else "black",
            zorder=4,
        )
        if inner:  # edges run below it
            name.set_path_effects([withStroke(linewidth=2.0, foreground="white")])
        verbatim([name])


def _legend(parts: TreeParts) -> list[Section]:
    edges: list[Artist] = [
        Line2D([], [], color="0.45", linewidth=WIDEST * share / 100, label=f"{share} %")
        for share in (10, 50, 100)
    ]
    sections: list[Section] = []
    if parts.labels is not None:
        names, paint = parts.labels.labels.names, parts.labels.colours
        there = {int(code) for label, _ in parts.majorities for code in label}
        shown = [(paint[code], entries(names)[code]) for code in sorted(there - {NOTHING})]
        if NOTHING in there:
            shown.append((GREY, "none of them"))
        dots: list[Artist] = [
            Line2D([], [], linestyle="", marker="o", color=colour, markeredgecolor="0.25",
                   markeredgewidth=0.5, label=name)
            for colour, name in shown
        ]  # fmt: skip
        sections.append((f"{short(parts.labels.labels.name, 18)} of most cells", dots))
    if parts.made_of:
        sections.append(("share of the finer program", edges))
    return sections
