"""Labels of cells in pictures: their colours beside the cells, and the legends."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from os.path import commonprefix
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from neuralNMF.colours import label_colours
from neuralNMF.labels import Labels
from neuralNMF.plots.style import LETTER, drawable, hide_frame, short, verbatim

LINE = 36  # letters in a line of the legend
MANY = 16  # labels from which each has one line
LINE_SPACING = 1.55  # of a legend, in parts of its letters
ROUNDS = 5  # in which names are cut elsewhere; those that are still the same get numbers
BAR = 0.2  # inches of a bar beside the cells

Section = tuple[str, list[Artist]]


@dataclass(frozen=True)
class Coloured:
    """A column of labels with the colour of each, the same in all pictures of a model.

    Attributes
    ----------
    labels : Labels
        Of the N cells.
    colours : ndarray, (n, 3)
        Of its names.
    """

    labels: Labels
    colours: np.ndarray

    def of(self, cells: np.ndarray) -> "Coloured":
        """The labels of some cells, by number."""
        return Coloured(self.labels.of(cells), self.colours)

    def legend(self) -> Section:
        """The name of the column, and a patch for each label that a cell has."""
        counts = np.bincount(self.labels.codes, minlength=len(self.labels.names))
        shown = zip(entries(self.labels.names), self.colours, counts, strict=True)
        patches: list[Artist] = [
            Patch(color=colour, label=f"{entry} ({count:,})")
            for entry, colour, count in shown
            if count
        ]
        return self.labels.name, patches


def coloured(columns: Sequence[Labels]) -> list[Coloured]:
    """Give several columns their colours: a label that is in two has the same in both."""
    colours = label_colours([column.names for column in columns])
    return [Coloured(column, each) for column, each in zip(columns, colours, strict=True)]


def draw_bar(axes: Axes, column: Coloured, order: np.ndarray) -> None:
    """Colour the cells by their labels in an axes beside them.

    Parameters
    ----------
    axes : Axes
        Empty.
    column : Coloured
        Of the n cells.
    order : ndarray of int, (n,)
        The cells, first to last.
    """
    hide_frame(axes)
    paint = column.colours[column.labels.codes[order]]
    axes.imshow(paint[:, None, :], aspect="auto", interpolation="none")
    axes.set_xlabel(short(column.labels.name, 18), fontsize=7, rotation=90, va="top")
    verbatim([axes.xaxis.label])


def legend_of(place: Figure | Axes, sections: Sequence[Section], **where: Any) -> None:
    """Write one legend of several parts, each under its own title, at the right of a figure.

    Parameters
    ----------
    place : Figure or Axes
        Gets the legend.
    sections : sequence of (str, list of Artist)
        Titles and handles.
    **where
        Its place, where that is not the figure's right.
    """
    if not sections:
        return
    handles: list[Artist] = []
    titles = set()
    for title, shown in sections:
        if handles:
            handles.append(Line2D([], [], linestyle="", label=" "))
        titles.add(len(handles))
        handles += [Line2D([], [], linestyle="", label=short(title)), *shown]
    options: dict[str, Any] = {"loc": "outside right upper", "frameon": False, **where}
    legend = place.legend(handles=handles, fontsize=_size(sections), **options)
    verbatim(legend.get_texts())
    for number, text in enumerate(legend.get_texts()):
        if number in titles:
            text.set_fontsize(9)
            text.set_x(-20)  # where a title's handle would be


def legend_inches(sections: Sequence[Section]) -> float:
    """How wide that legend is."""
    lines = [
        line
        for title, shown in sections
        for text in [title, *(str(each.get_label()) for each in shown)]
        for line in text.split("\n")
    ]
    longest = max(map(len, lines), default=0)
    return 0.7 + longest * LETTER * _size(sections) / 72 if lines else 0.0


def legend_tall(sections: Sequence[Section]) -> float:
    """How many inches high that legend is."""
    lines = sum(
        2 + sum(1 + str(each.get_label()).count("\n") for each in shown) for _, shown in sections
    )
    return lines * LINE_SPACING * _size(sections) / 72


def _size(sections: Sequence[Section]) -> float:
    """Points of the letters."""
    return 8.0 if sum(len(shown) for _, shown in sections) <= 2 * MANY else 6.5


def entries(names: Sequence[str]) -> list[str]:
    """The names as a legend has them: in two lines of a few labels, in one of many."""
    many = len(names) > MANY
    shown = told_apart(names, LINE if many else 2 * LINE - 4)
    return shown if many else ["\n".join(textwrap.wrap(each, LINE) or [each]) for each in shown]


def told_apart(names: Sequence[str], longest: int) -> list[str]:
    """The names as they can be drawn, cut to a length; those that differ still do.

    What is too long loses its middle, since names often differ in their ends. Where several have
    become the same, each begins at the word in which they part.

    Parameters
    ----------
    names : sequence of str
    longest : int
        Letters of each, at the most; 6 or more.

    Returns
    -------
    list of str
    """
    names = list(map(drawable, names))
    shown = [_without_middle(name, longest) for name in names]
    for _ in range(ROUNDS):
        for group in _same(shown, names):
            common = len(commonprefix([names[place] for place in group]))
            word = names[group[0]].rfind(" ", 0, common) + 1
            start = max(word, common - longest // 2)
            for place in group:
                shown[place] = f"…{short(names[place][start:], longest - 1)}"
    for group in _same(shown, names):
        for number, place in enumerate(group, start=1):
            shown[place] = short(f"{number} {shown[place]}", longest)
    return shown


def _without_middle(name: str, longest: int) -> str:
    if len(name) <= longest:
        return name
    return f"{name[: longest // 2]}…{name[-(longest - longest // 2) + 1 :]}"


def _same(shown: list[str], names: list[str]) -> list[list[int]]:
    """Places of names that differ and are shown as the same."""
    groups: dict[str, list[int]] = {}
    for place, text in enumerate(shown):
        groups.setdefault(text, []).append(place)
    return [group for group in groups.values() if len({names[place] for place in group}) > 1]
