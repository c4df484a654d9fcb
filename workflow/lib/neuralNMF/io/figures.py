"""Saving figures, so that the same figure gives the same bytes."""

from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from neuralNMF.io.atomic import atomic_path

PNG_DPI = 150


def save_figure(figure: Figure, *paths: str | Path) -> None:
    """Write a figure, each file whole or not at all; the same figure gives the same bytes.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        As the functions of `neuralNMF.plots` return it; its layout is settled once, for all files.
    *paths : str or Path
        Their endings say the formats: ``.png`` (150 dpi), ``.pdf``, ``.svg``.
    """
    if (layout := figure.get_layout_engine()) is not None:
        layout.execute(figure)
        figure.set_layout_engine(None)
    for path in map(Path, paths):
        _write(figure, path)


def _write(figure: Figure, path: Path) -> None:
    kind = path.suffix.removeprefix(".").lower()
    # No creation date and no version of the plotting library in the file.
    empty = {"png": ("Software",), "pdf": ("CreationDate", "Creator", "Producer"), "svg": ("Date",)}
    metadata = dict.fromkeys(empty.get(kind, ()))
    # Text in a PDF stays text (TrueType), so that it can be searched and edited.
    with atomic_path(path) as temporary, matplotlib.rc_context({"pdf.fonttype": 42}):
        figure.savefig(temporary, format=kind, dpi=PNG_DPI, metadata=metadata)
