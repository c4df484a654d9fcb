"""Colours of labels and of programs, the same in every picture and file.

Rows of red, green and blue from 0 to 1, told apart with every kind of colour vision as far as
their number allows it.
"""

from collections.abc import Sequence

import numpy as np

from neuralNMF.evidence.tree import NO_PARENT, Tree
from neuralNMF.labels import NO_LABEL, OTHER

# The first seven are those of Okabe & Ito, three more of Tol's.
TEN = (
    "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7",
    "#332288", "#882255", "#999933",
)  # fmt: skip
GREY, PALE_GREY = 0.5, 0.85
FEWEST_ROOTS = 3  # programs of a layer whose colours the finer layers take up
DARKEST, LIGHTEST = 0.55, 0.6  # of a family's colour: times this, and this far on the way to white


def palette(count: int) -> np.ndarray:
    """So many colours, (count, 3): ten, then the ten in three more shades, then the same again."""
    ten = np.array([[int(name[i : i + 2], 16) for i in (1, 3, 5)] for name in TEN]) / 255
    shades = np.concatenate([ten, 0.55 * ten, 0.5 + 0.5 * ten, 0.3 + 0.45 * ten])
    return shades[np.arange(count) % len(shades)]


def label_colours(columns: Sequence[Sequence[str]]) -> list[np.ndarray]:
    """Colours for the labels of several columns, one a label in all of them.

    Parameters
    ----------
    columns : sequence of sequence of str
        The `names` of `neuralNMF.labels.Labels` of each column.

    Returns
    -------
    list of ndarray, (n, 3) each
        Greys for what is no label.
    """
    every = list(dict.fromkeys(name for names in columns for name in names))
    coloured = [name for name in every if name not in (OTHER, NO_LABEL)]
    known = dict(zip(coloured, palette(len(coloured)), strict=True))
    known |= {OTHER: np.full(3, GREY), NO_LABEL: np.full(3, PALE_GREY)}
    return [np.array([known[name] for name in names]).reshape(-1, 3) for names in columns]


def program_colours(tree: Tree, last: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Colours for the programs of every layer: children have shades of their parent's colour.

    The coarsest layer with at least three programs gives the colours, in the order of the tree. A
    program of a layer above it has that of its first child.

    Parameters
    ----------
    tree : Tree
        Of L layers.
    last : sequence of ndarray of bool, (k_l,) each
        Programs that are dead or noise; they are grey.

    Returns
    -------
    list of ndarray, (k_l, 3) each
    """
    live = [int((~gone).sum()) for gone in last]
    enough = [layer for layer, count in enumerate(live, start=1) if count >= FEWEST_ROOTS]
    root = max(enough, default=1)
    found: list[np.ndarray] = []
    for layer, gone in enumerate(last, start=1):
        order = [k for k in tree.orders[layer - 1] if not gone[k]]
        colours = np.full((len(gone), 3), GREY)
        if layer == root:
            colours[order] = palette(len(order))
        found.append(colours)
    roots = found[root - 1]
    for layer in range(1, root):
        family = np.where(last[layer - 1], NO_PARENT, tree.ancestors(layer, root))
        for parent in np.unique(family[family != NO_PARENT]):
            children = [k for k in tree.orders[layer - 1] if family[k] == parent]
            found[layer - 1][children] = _shades(roots[parent], len(children))
    for layer in range(root + 1, len(last) + 1):
        above = tree.ancestors(root, layer)
        for k in np.flatnonzero(~last[layer - 1]):
            children = [i for i in tree.orders[root - 1] if above[i] == k and not last[root - 1][i]]
            if children:
                found[layer - 1][k] = roots[children[0]]
    return found


def hexadecimal(colours: np.ndarray) -> list[str]:
    """Colours as ``#E69F00``."""
    return ["#" + "".join(f"{round(255 * part):02X}" for part in colour) for colour in colours]


def _shades(colour: np.ndarray, count: int) -> np.ndarray:
    """From a darker to a lighter one, (count, 3); a single one is the colour itself."""
    if count == 1:
        return colour[None, :]
    ends = [DARKEST * colour, colour, colour + LIGHTEST * (1 - colour)]
    places = np.linspace(0, 2, count)
    return np.stack([np.interp(places, [0, 1, 2], [end[i] for end in ends]) for i in range(3)], 1)
