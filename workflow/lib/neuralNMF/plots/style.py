"""What all figures share: names, colours, sizes, axes."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager, get_font
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.text import Text

logger = logging.getLogger(__name__)

COLOUR_MAP = "magma_r"  # uniform to the eye, prints in grey, pale where there is nothing
GREY_MAP = "Greys"  # the same for programs that are flagged
GREY = "0.55"
FAINT = "0.35"
# Okabe & Ito: told apart with every kind of colour vision.
ORANGE, BLUE = "#E69F00", "#0072B2"
TITLE = 11.0  # points
LONGEST_NAME = 30  # letters of a program's name on an axis
# Fonts for Chinese, Japanese and Korean, of which machines have one or the other.
OTHER_SCRIPTS = (
    "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans CJK KR", "Source Han Sans SC",
    "WenQuanYi Zen Hei", "WenQuanYi Micro Hei", "Droid Sans Fallback", "IPAGothic",
    "PingFang SC", "Hiragino Sans", "Microsoft YaHei", "MS Gothic", "Malgun Gothic",
)  # fmt: skip
LETTER = 0.58  # width of a letter, as part of its size


@dataclass(frozen=True)
class Programs:
    """The programs of one layer as they are drawn.

    Attributes
    ----------
    names : sequence of str
        Of all k.
    order : ndarray of int, (k,)
        Which stand where.
    grey : ndarray of bool, (k,)
        Those that are flagged: dead, noise or of the cells' quality.
    """

    names: Sequence[str]
    order: np.ndarray
    grey: np.ndarray

    @property
    def drawn_grey(self) -> np.ndarray:
        """Whether each place is that of a flagged program, (k,) bool."""
        return self.grey[self.order]

    def inches(self, size: float = 8.0) -> float:
        """How long the longest name is."""
        return max(len(short(name)) for name in self.names) * LETTER * size / 72


def plain_programs(dead: np.ndarray) -> Programs:
    """P1 ... Pk in their order, from what is dead, (k,) bool; a dead program says so."""
    names = [f"P{i + 1} (dead)" if off else f"P{i + 1}" for i, off in enumerate(dead)]
    return Programs(names, np.arange(len(dead)), np.asarray(dead, dtype=bool))


def named_programs(names: Sequence[str]) -> Programs:
    """Programs of which only the names are known, in their order; dead ones and noise say so."""
    grey = [name.endswith(("(dead)", "(noise)")) for name in names]
    return Programs(names, np.arange(len(names)), np.array(grey, dtype=bool))


def new_figure(width: float, height: float) -> Figure:
    """Make an empty figure of width x height inches that pyplot does not know."""
    margins = ConstrainedLayoutEngine(w_pad=0.03, h_pad=0.03, wspace=0.01, hspace=0.01)
    return Figure(figsize=(width, height), layout=margins)


def draw_title(figure: Figure, title: str) -> None:
    """Write a title at the upper left, where no legend is."""
    verbatim([figure.suptitle(title, fontsize=TITLE, x=0.01, ha="left")])


def title_inches(title: str) -> float:
    """How wide a title is."""
    return 0.1 + max(map(len, title.split("\n"))) * LETTER * TITLE / 72


def short(text: str, longest: int = LONGEST_NAME) -> str:
    """The text with what can be drawn, cut at the end where it is longer than can be read."""
    text = drawable(text)
    return text if len(text) <= longest else text[: longest - 1] + "…"


def drawable(text: str) -> str:
    """The text; letters that no font here has as their codes, instead of all as the same box."""
    if text.isascii():
        return text
    letters = [
        letter if any(ord(letter) in has for has in _letters(families())) else ascii(letter)[1:-1]
        for letter in text
    ]
    if any(len(letter) > 1 for letter in letters):
        _say_what_to_install()
    return "".join(letters)


@cache
def _say_what_to_install() -> None:
    """Once a process, however many names are drawn."""
    logger.warning(
        "Some names have letters that no font of this machine has; pictures show their codes. "
        "Fonts for Chinese, Japanese and Korean: 'apt-get install fonts-noto-cjk', or Noto Sans "
        "CJK from elsewhere."
    )


@cache
def families() -> tuple[str, ...]:
    """The usual font, then the installed ones with letters that it has not."""
    installed = {font.name for font in fontManager.ttflist}
    return ("DejaVu Sans", *(name for name in OTHER_SCRIPTS if name in installed))


@cache
def _letters(names: tuple[str, ...]) -> tuple[frozenset[int], ...]:
    """The letters of each font."""
    fonts = (get_font(fontManager.findfont(name)) for name in names)
    return tuple(frozenset(font.get_charmap()) for font in fonts)


def verbatim(texts: Sequence[Text]) -> None:
    """Let names stand as they are written: ``$`` begins no formula, other scripts have a font."""
    for text in texts:
        text.set_parse_math(False)
        if not text.get_text().isascii():
            text.set_fontfamily(list(families()))


def name_programs(
    axes: Axes,
    programs: Programs,
    *,
    axis: Literal["x", "y"] = "x",
    room: float,
) -> None:
    """Label an axis with programs, one row or column each, as large as the room allows.

    Parameters
    ----------
    axes : Axes
        One row or column a program.
    programs : Programs
        Flagged ones are named in grey.
    axis : {"x", "y"}
        Which one.
    room : float
        Inches a program.
    """
    size = font_size(room)
    positions = np.arange(len(programs.order))
    labels = [short(programs.names[program]) for program in programs.order]
    if axis == "x":
        upright = max(map(len, labels)) * LETTER * size / 72 > room
        axes.set_xticks(positions, labels, fontsize=size, rotation=90 if upright else 0)
    else:
        axes.set_yticks(positions, labels, fontsize=size)
    ticks = (axes.xaxis if axis == "x" else axes.yaxis).get_major_ticks()
    for tick, grey in zip(ticks, programs.drawn_grey, strict=True):
        verbatim([tick.label1, tick.label2])
        if grey:
            tick.label1.set_color(GREY)
            tick.label2.set_color(GREY)
    axes.tick_params(axis=axis, length=0, pad=2)


def grey_columns(axes: Axes, values: np.ndarray, grey: np.ndarray, limit: float) -> None:
    """Draw some columns of a heat map again, in grey.

    Parameters
    ----------
    axes : Axes
        With the heat map of `values`.
    values : ndarray, (n, k)
        As drawn.
    grey : ndarray of bool, (k,)
        The columns.
    limit : float
        Upper end of the colours.
    """
    top, bottom = values.shape[0] - 0.5, -0.5
    for column in np.flatnonzero(grey):
        axes.imshow(
            values[:, [column]],
            aspect="auto",
            cmap=GREY_MAP,
            vmin=0,
            vmax=limit,
            interpolation="nearest",
            extent=(column - 0.5, column + 0.5, top, bottom),
        )
    axes.set_xlim(-0.5, values.shape[1] - 0.5)
    axes.set_ylim(top, bottom)


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
