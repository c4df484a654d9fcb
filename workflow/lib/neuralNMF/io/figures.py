"""Saving figures, so that the same figure gives the same bytes."""

from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from neuralNMF.io.atomic import atomic_path

PNG_DPI = 150


def save_figure(figure: Figure, path: str | Path) -> None:
    """Write a figure, whole or not at all; the same figure gives the same bytes.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        As the functions of `neuralNMF.plots` return it.
    path : str or Path
        Its ending says the format: ``.png`` (150 dpi), ``.pdf``, ``.svg``.
    """
    path = Path(path)
    kind = path.suffix.removeprefix(".").lower()
    # No creation date and no version of the plotting library in the file.
    empty = {"png": ("Software",), "pdf": ("CreationDate", "Creator", "Producer"), "svg": ("Date",)}
    metadata = dict.fromkeys(empty.get(kind, ()))
    # Text in a PDF stays text (TrueType), so that it can be searched and edited.
    with atomic_path(path) as temporary, matplotlib.rc_context({"pdf.fonttype": 42}):
        figure.savefig(temporary, format=kind, dpi=PNG_DPI, metadata=metadata)
