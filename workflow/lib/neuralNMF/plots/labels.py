"""Labels of cells in pictures: their order, their colours, and a sample that keeps them all."""

import re
import textwrap
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from neuralNMF.errors import InputError
from neuralNMF.labels import NO_LABEL
from neuralNMF.plots.style import LETTER, drawable, hide_frame, short, verbatim

OTHER = "other labels"
MOST_COLOURS = 40
COLOURS = (
    "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7",
    "#332288", "#882255", "#999933",
)  # fmt: skip
LINE = 36  # letters in a line of the legend
MANY = 16  # labels from which each has one line


@dataclass(frozen=True)
class Labels:
    """A label for each of N cells.

    Attributes
    ----------
    name : str
        What the legend calls them.
    names : list of str
        The labels.
    codes : ndarray of int, (N,)
        Each cell's, as its place in `names`.
    """

    name: str
    names: list[str]
    codes: np.ndarray

    def of(self, cells: np.ndarray) -> "Labels":
        """The labels of some cells, by number."""
        return Labels(self.name, self.names, self.codes[cells])


def as_labels(labels: pd.Series | np.ndarray) -> Labels:
    """Labels as numbered texts; missing ones become "no label".

    Above 40 labels the rarest are put together as "other labels", since a colour each could not
    tell them apart.

    Parameters
    ----------
    labels : Series or ndarray, (N,)
        Of any type.

    Returns
    -------
    Labels
        Of the N cells, in the order of the labels' own categories if they have any, else sorted.
    """
    series = pd.Series(np.asarray(labels, dtype=object))
    categories = getattr(getattr(labels, "cat", labels), "categories", None)
    if categories is None:
        categories = sorted(series.dropna().unique(), key=_by_number)
    names = [str(value) for value in categories]
    text = series.map(str, na_action="ignore")
    counts = text.value_counts()
    names = [name for name in names if name in counts.index]
    if len(names) > MOST_COLOURS:
        kept = set(counts.index[: MOST_COLOURS - 1])
        text = text.where(text.isin(kept) | text.isna(), OTHER)
        names = [name for name in names if name in kept] + [OTHER]
    if text.isna().any():
        text = text.fillna(NO_LABEL)
        names = [*names, NO_LABEL]
    codes = pd.Categorical(text, categories=names).codes
    return Labels(str(getattr(labels, "name", "label")), names, np.asarray(codes, dtype=np.intp))


def _by_number(value: object) -> list[tuple[int, int, str]]:
    """Key that sorts c2 before c10."""
    parts = re.findall(r"\d+|\D+", str(value))
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts]


def label_colours(names: list[str]) -> np.ndarray:
    """Colours for the names of `Labels`, (n, 3); greys for what is no label.

    The first seven are those of Okabe & Ito, told apart with every kind of colour vision; with
    three more of Tol's, ten; with more labels, the ten in four shades.
    """
    coloured = [name for name in names if name not in (OTHER, NO_LABEL)]
    ten = np.array([to_rgb(colour) for colour in COLOURS])
    palette = np.concatenate([ten, 0.55 * ten, 0.5 + 0.5 * ten, 0.3 + 0.45 * ten])
    colours = np.empty((len(names), 3))
    for number, name in enumerate(coloured):
        colours[names.index(name)] = palette[number % len(palette)]
    for grey, name in ((0.5, OTHER), (0.85, NO_LABEL)):
        if name in names:
            colours[names.index(name)] = grey
    return colours


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


def sample_cells(
    cells: int,
    max_cells: int,
    *,
    rng: np.random.Generator,
    labels: Labels | None = None,
) -> np.ndarray:
    """Draw the cells of a picture: all of them if there are no more than `max_cells`.

    Parameters
    ----------
    cells : int
        How many there are.
    max_cells : int
        How many to draw at most.
    rng : numpy.random.Generator
        Draws.
    labels : Labels or None
        Of the cells; drawn in their proportions, each at least once where `max_cells` leaves room.

    Returns
    -------
    ndarray of int
        Numbers of the drawn cells, rising.

    Raises
    ------
    InputError
        `max_cells` is below 1.
    """
    if max_cells < 1:
        raise InputError(f"max_cells must be at least 1, not {max_cells}.")
    if cells <= max_cells:
        return np.arange(cells)
    if labels is None:
        return np.sort(rng.choice(cells, size=max_cells, replace=False))
    codes = labels.codes
    counts = np.bincount(codes, minlength=len(labels.names))
    quotas = _quotas(counts, max_cells)
    picked = [
        rng.choice(np.flatnonzero(codes == code), size=quota, replace=False)
        for code, quota in enumerate(quotas)
        if quota
    ]
    return np.sort(np.concatenate(picked))


def _quotas(counts: np.ndarray, total: int) -> np.ndarray:
    """Split `total` in the proportion of `counts`, at least 1 each where that leaves room."""
    exact = counts * (total / counts.sum())
    quotas = np.maximum(np.floor(exact).astype(int), (counts > 0).astype(int))
    while quotas.sum() > total:  # more labels than fit: the largest give way
        quotas[np.argmax(quotas)] -= 1
    for code in np.argsort(quotas - exact, kind="stable")[: total - quotas.sum()]:
        quotas[code] += 1
    return quotas
